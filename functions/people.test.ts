/** A person's way through the functions of identity, as one collection: registered, given a role, deactivated, let in again, signed out. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import type { Body } from '@stampede/shared/testing/call.ts'
import { caller, eventually, openSale, startCollection, type Collection } from './testing.ts'

let collection: Collection
test.before(async () => {
  collection = await startCollection({ ACCESS_CONTROL: 'directory' })
})
test.after.always(() => collection?.stop())

/** A tenant of its own with somebody who has registered there. */
async function newTenant() {
  const { identity, url } = collection
  const tenantId = `t-${randomBytes(6).toString('hex')}`
  const root = await identity.token({ tenantId: 'platform', userId: 'root', roles: ['platform-administrator'] })
  const asRoot = caller(collection, root)
  const made = await eventually(
    () => asRoot('POST', '/api/v1/tenants', { tenantId, name: 'Acme' }),
    ({ status }) => status !== 503,
  )
  if (made.status !== 201) throw new Error(JSON.stringify(made))
  const staff = caller(collection, await identity.token({ tenantId, userId: 'chief', roles: ['administrator'] }))
  const ask = async (path: string, body: unknown) => {
    const response = await fetch(`${url}/api/v1/tenants/${tenantId}/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Body }
  }
  const contact = { kind: 'email', value: 'ann@example.com' }
  const password = 'correct horse battery'
  await eventually(
    () => ask('codes', { contact, purpose: 'register' }),
    ({ status }) => status === 202,
  )
  const messages = await eventually(
    async () => (await staff('GET', '/api/v1/notifications/outbox')).body['messages'] as { body: string }[],
    (all) => all.length > 0,
  )
  const code = /\d{6}/.exec(messages.at(-1)!.body)?.[0]
  const registered = await ask('registrations', { contact, code, password })
  if (registered.status !== 201) throw new Error(JSON.stringify(registered))
  return { tenantId, staff, ask, contact, password, registered }
}

test.serial(
  'people – a code, an account, a profile, a role, and out within a second when they are deactivated',
  async (t) => {
    const { staff, ask, contact, password, registered } = await newTenant()
    const userId = registered.body['userId'] as string

    const own = (token: string) => caller(collection, token)
    const me = await eventually(
      () => own(registered.body['accessToken'])('GET', '/api/v1/users/me'),
      ({ body }) => body['email'] !== null && body['email'] !== undefined,
    )
    t.like(me, { status: 200, body: { email: contact.value } })

    t.is((await own(registered.body['accessToken'])('GET', '/api/v1/users')).status, 403)
    t.is((await staff('PUT', `/api/v1/users/${userId}/roles`, { version: 0, roles: ['support'] })).status, 200)
    const signedIn = await ask('sessions', { contact, password })
    t.is(signedIn.status, 201)
    const token = signedIn.body['accessToken'] as string
    t.is((await own(token)('GET', '/api/v1/users')).status, 200, 'a role in a token of auth counts')

    t.is((await staff('POST', `/api/v1/users/${userId}/deactivation`, { reason: 'test' })).status, 200)
    const atMs = performance.now()
    const refused = await eventually(
      () => own(token)('GET', '/api/v1/users/me'),
      ({ status }) => status !== 200,
    )
    t.is(refused.status, 401)
    t.log(`out after ${Math.round(performance.now() - atMs)} ms`)
    t.not((await ask('sessions', { contact, password })).status, 201)
    t.not((await ask('tokens', { refreshToken: signedIn.body['refreshToken'] })).status, 201)

    t.is((await staff('POST', `/api/v1/users/${userId}/activation`, { reason: 'test' })).status, 200)
    const back = await eventually(
      () => ask('sessions', { contact, password }),
      ({ status }) => status === 201,
    )
    const again = await eventually(
      () => own(back.body['accessToken'])('GET', '/api/v1/users/me'),
      ({ status }) => status === 200,
    )
    t.is(again.status, 200)
  },
)

test.serial('people – who signs out everywhere buys no more with the passes of before', async (t) => {
  const { staff, ask, contact, password, registered } = await newTenant()
  t.is((await staff('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 20, reason: 'counted' })).status, 200)
  const terms = { variantId: 'phone', stock: 20, buckets: 1, perUserLimit: 20 }
  const activityId = await openSale(collection, staff, terms)
  const sale = `/api/v1/seckill/${activityId}`
  const own = (token: string) => caller(collection, token)
  const passOf = async (token: string) => {
    const given = await eventually(
      () => own(token)('POST', `${sale}/pass`),
      ({ status }) => status === 200,
    )
    return given.body['pass'] as string
  }
  const buy = async (pass: string) => {
    const headers = { 'stampede-pass': pass, 'content-type': 'application/json' }
    const response = await fetch(`${collection.url}${sale}/purchases`, { method: 'POST', headers, body: '{}' })
    await response.body?.cancel()
    return response.status
  }
  const refused = (pass: string) =>
    eventually(
      () => buy(pass),
      (status) => status !== 202,
    )
  const second = (await ask('sessions', { contact, password })).body
  const [firstPass, secondPass] = [await passOf(registered.body['accessToken']), await passOf(second['accessToken'])]
  t.deepEqual([await buy(firstPass), await buy(secondPass)], [202, 202])

  // 204 has no body to read.
  await own(second['accessToken'])('DELETE', `/api/v1/sessions/${registered.body['sessionId']}`).catch(() => {})
  t.is(await refused(firstPass), 401)
  t.is(await buy(secondPass), 202, 'another session')
  const third = (await ask('sessions', { contact, password })).body
  const thirdPass = await passOf(third['accessToken'])
  await own(third['accessToken'])('DELETE', '/api/v1/sessions').catch(() => {})
  t.is(await refused(secondPass), 401)
  t.is(await refused(thirdPass), 401)
  const again = (await ask('sessions', { contact, password })).body
  t.is(await buy(await passOf(again['accessToken'])), 202)
})
