import test from 'ava'
import { ping } from '@stampede/shared/testing/events.ts'
import { newKey, post, startStage } from './testing.ts'

const stage = await startStage()
test.after.always(() => stage.stop())

test('key rotation – people sign in before, while and after; then the old keys are not needed any more', async (t) => {
  const { registered, tenantId } = stage.tenant()
  const people = await Promise.all([registered(), registered(), registered()])
  const [first] = people
  // A page in progress, which the provider remembers.
  stage.permission.roles.set(first.tokens.userId, ['administrator'])
  const refreshed = await stage.tenantCall(tenantId, 'tokens', { refreshToken: first.tokens['refreshToken'] })
  const client = await stage.call('POST', '/api/v1/clients', refreshed.body['accessToken'], {
    name: 'Shop',
    kind: 'browser',
    redirectUris: ['https://shop.example/callback'],
  })
  const query = new URLSearchParams({
    client_id: client.body['clientId'],
    response_type: 'code',
    redirect_uri: 'https://shop.example/callback',
    scope: 'openid',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  const begun = await fetch(`${client.body['issuer']}/auth?${query.toString()}`, { redirect: 'manual' })
  const cookies = begun.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ')
  const page = (at: string) =>
    fetch(new URL(new URL(begun.headers.get('location')!, at).pathname, at), { headers: { cookie: cookies } })

  const newest = { DATA_KEYS: newKey('d2'), INDEX_KEY: newKey('i2') }
  const both = {
    DATA_KEYS: `${newest.DATA_KEYS},${stage.environment['DATA_KEYS']}`,
    INDEX_KEY: `${newest.INDEX_KEY},${stage.environment['INDEX_KEY']}`,
  }
  const rotating = await stage.another(both)
  let refused = 0
  const ending = new AbortController()
  const traffic = (async () => {
    for (let index = 0; !ending.signal.aborted; index++) {
      const { contact, password } = people[index % people.length]!
      const { status } = await post(`${rotating.url}/api/v1/tenants/${tenantId}/auth/sessions`, { contact, password })
      if (status !== 201) refused += 1
    }
  })()
  const host = { url: rotating.url, identity: stage.identity }
  t.is(await ping(host, 'auth', 'rotate-keys'), 204)
  t.is(await ping(host, 'auth', 'maintain-keys'), 204)
  ending.abort()
  await traffic
  t.is(refused, 0)
  const [contacts] = await stage.sql.query('SELECT contact_index AS i, sealed_contact AS s FROM auth_contacts')
  t.is((contacts as object[]).length, 3)
  for (const { i, s } of contacts as { i: string; s: string }[]) {
    t.true(i.startsWith('i2.'))
    t.true(s.startsWith('v1.d2.'))
  }
  const alone = await stage.another(newest)
  for (const { contact, password } of people)
    t.is((await post(`${alone.url}/api/v1/tenants/${tenantId}/auth/sessions`, { contact, password })).status, 201)
  const again = await post(`${alone.url}/api/v1/tenants/${tenantId}/auth/codes`, {
    contact: first.contact,
    purpose: 'register',
  })
  t.is(again.status, 202)
  t.is((await page(rotating.url)).status, 200, 'the page in progress goes on')
})
