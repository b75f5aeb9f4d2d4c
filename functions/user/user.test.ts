import test from 'ava'
import { address, random, startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

test('profile – somebody who registered sees their contact, and changes what is theirs', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person('Ann@Example.com')
  const before = await ann.me('GET')
  t.like(before, { status: 200, body: { state: 'active', email: 'ann@example.com', phone: null, name: null } })
  const version = before.body['version'] as number
  const changed = await ann.me('PATCH', '', { version, name: 'Ann Lee', locale: 'de-DE' })
  t.like(changed, { status: 200, body: { name: 'Ann Lee', locale: 'de-DE', version: version + 1 } })
  t.like(await ann.me('PATCH', '', { version, name: 'Other' }), { status: 409, body: { version: version + 1 } })
  t.like((await ann.me('PATCH', '', { name: null })).body, { name: null, locale: 'de-DE' })
  for (const wrong of [{ email: 'x@example.com' }, { name: '' }, { locale: 'not a locale' }, { state: 'active' }])
    t.is((await ann.me('PATCH', '', wrong)).status, 400, JSON.stringify(wrong))
})

test('profile – a token may come before the event that tells of its person', async (t) => {
  const tenant = await stage.tenant()
  const token = await tenant.tokenOf('early')
  t.like(await tenant.call(token, 'GET', '/api/v1/users/me'), { status: 200, body: { version: 0, email: null } })
  t.is((await tenant.call(token, 'PATCH', '/api/v1/users/me', { name: 'Early Bird' })).status, 200)
  t.is(await stage.deliver(tenant.registered('early', 'early@example.com')), 204)
  const { body } = await tenant.call(token, 'GET', '/api/v1/users/me')
  t.like(body, { name: 'Early Bird', email: 'early@example.com' })
})

test('registration – twice, out of order, and with a second contact', async (t) => {
  const tenant = await stage.tenant()
  const userId = 'ann'
  const token = await tenant.tokenOf(userId)
  const newer = tenant.registered(userId, 'new@example.com', '2026-02-02T00:00:00.000Z')
  const older = tenant.registered(userId, 'old@example.com', '2026-01-01T00:00:00.000Z')
  for (const event of [newer, newer, older, tenant.registered(userId, '+491701234567')])
    t.is(await stage.deliver(event), 204)
  const { body } = await tenant.call(token, 'GET', '/api/v1/users/me')
  t.like(body, { email: 'new@example.com', phone: '+491701234567' })
})

test('registration – a contact that is sealed for somebody else, or that nobody can open, is refused for good', async (t) => {
  const tenant = await stage.tenant()
  const { data: ofOther } = tenant.registered('other', 'other@example.com')
  const event = tenant.registered('ann', 'ann@example.com')
  t.is(await stage.deliver({ ...event, data: { ...event.data, sealedContact: ofOther.sealedContact } }), 422)
  t.is(await stage.deliver({ ...event, data: { ...event.data, sealedContact: 'nonsense' } }), 422)
})

test('storage – nothing personal is in the tables in plain text', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person('ann.unique@example.com')
  await ann.me('PATCH', '', { name: 'Unique Name' })
  t.is((await ann.me('POST', '/addresses', address)).status, 201)
  const stored = await tenant.stored()
  for (const secret of ['unique', 'Unique', 'Nebenweg', 'Musterstadt', 'Lee', '1234567'])
    t.false(stored.includes(secret), secret)
  t.true(stored.includes('r1.'))
})

test('addresses – added, replaced, deleted; one is the default', async (t) => {
  const ann = await (await stage.tenant()).person()
  const add = async (extra = {}) => (await ann.me('POST', '/addresses', { ...address, ...extra })).body
  const first = await add()
  t.like(first, { isDefault: true, phone: '+491701234567', extra: null })
  const second = await add({ city: 'Zweitstadt' })
  t.like(second, { isDefault: false, city: 'Zweitstadt' })
  const third = await add({ isDefault: true })
  const defaults = async () =>
    ((await ann.me('GET', '/addresses')).body['addresses'] as { addressId: string; isDefault: boolean }[])
      .filter(({ isDefault }) => isDefault)
      .map(({ addressId }) => addressId)
  t.deepEqual(await defaults(), [third['addressId'] as string])
  const path = `/addresses/${second['addressId'] as string}`
  t.like(await ann.me('PUT', path, { ...address, city: 'Neustadt', isDefault: true }), {
    status: 200,
    body: { city: 'Neustadt' },
  })
  t.deepEqual(await defaults(), [second['addressId'] as string])
  t.like((await ann.me('GET', path)).body, { city: 'Neustadt', isDefault: true })
  t.is(await ann.remove(path), 204)
  t.is(await ann.remove(path), 404)
  t.is((await ann.me('GET', path)).status, 404)
  t.deepEqual(await defaults(), [first['addressId'] as string])
  t.is((await ann.me('PUT', `/addresses/unknown`, address)).status, 404)
  for (const wrong of [
    { country: 'de' },
    { recipient: ' ' },
    { street: 'a\nb' },
    { phone: '123' },
    { city: 'x'.repeat(101) },
    { addressId: 'x' },
  ])
    t.is((await ann.me('POST', '/addresses', { ...address, ...wrong })).status, 400, JSON.stringify(wrong))
})

test('addresses – 55 at once: 50 are there', async (t) => {
  const ann = await (await stage.tenant()).person()
  const answers = await Promise.all(Array.from({ length: 55 }, () => ann.me('POST', '/addresses', address)))
  t.is(answers.filter(({ status }) => status === 201).length, 50)
  t.is(answers.filter(({ status }) => status === 422).length, 5)
  const { addresses } = (await ann.me('GET', '/addresses')).body as { addresses: { isDefault: boolean }[] }
  t.is(addresses.length, 50)
  t.is(addresses.filter(({ isDefault }) => isDefault).length, 1)
})

test('addresses – nobody else has them', async (t) => {
  const tenant = await stage.tenant()
  const [ann, bob] = [await tenant.person(), await tenant.person()]
  const { body } = await ann.me('POST', '/addresses', address)
  const path = `/addresses/${body['addressId'] as string}`
  t.is((await bob.me('GET', path)).status, 404)
  t.is((await bob.me('PUT', path, address)).status, 404)
  t.deepEqual((await bob.me('GET', '/addresses')).body['addresses'], [])
})

test('export – holds everything that is stored here', async (t) => {
  const ann = await (await stage.tenant()).person('ann@example.com')
  await ann.me('POST', '/addresses', address)
  const { status, body } = await ann.me('GET', '/export')
  t.is(status, 200)
  t.like(body, { profile: { email: 'ann@example.com' }, addresses: [{ street: 'Nebenweg 7' }] })
})

test('staff – see people masked; revealing needs its permission and is recorded before it is shown', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person('ann@example.com')
  await ann.me('PATCH', '', { name: 'Ann Lee' })
  await ann.me('POST', '/addresses', address)
  const path = `/api/v1/users/${ann.userId}`
  const masked = await tenant.asStaff('GET', path)
  t.like(masked, { status: 200, body: { revealed: false, email: 'a***@e***.com', name: 'A*** L***' } })
  const text = JSON.stringify(masked.body)
  for (const secret of ['ann@', 'Lee', 'Nebenweg', '1234567', '12345']) t.false(text.includes(secret), secret)
  const plain = await tenant.asStaff('GET', `${path}?reveal=true`)
  t.like(plain.body, { revealed: true, email: 'ann@example.com', addresses: [{ street: 'Nebenweg 7' }] })
  const [record] = await tenant.audited('user.revealed')
  t.like(record, { actor: { kind: 'staff', id: 'keeper' }, subject: `user/${ann.userId}` })
  const support = await tenant.tokenOf('helper', ['support'])
  t.is((await tenant.call(support, 'GET', path)).status, 200)
  t.is((await tenant.call(support, 'GET', `${path}?reveal=true`)).status, 403)
  t.is((await tenant.call(support, 'POST', `${path}/erasure`, { reason: 'x' })).status, 403)
  t.is((await tenant.asStaff('GET', '/api/v1/users/nobody')).status, 404)
})

test('staff – pages of people, and look-ups by what people type', async (t) => {
  const tenant = await stage.tenant()
  const people = [await tenant.person('ann@example.com'), await tenant.person('+491701234567'), await tenant.person()]
  const seen: string[] = []
  for (let cursor = ''; ;) {
    const { body } = await tenant.asStaff('GET', `/api/v1/users?limit=2${cursor}`)
    seen.push(...(body['users'] as { userId: string }[]).map(({ userId }) => userId))
    if (body['nextCursor'] === null) break
    cursor = `&cursor=${body['nextCursor'] as string}`
  }
  t.deepEqual(seen, people.map(({ userId }) => userId).sort())
  const find = async (query: string) =>
    ((await tenant.asStaff('GET', `/api/v1/users?${query}`)).body['users'] as { userId: string }[]).map(
      ({ userId }) => userId,
    )
  t.deepEqual(await find(`email=${encodeURIComponent(' ANN@example.COM ')}`), [people[0]!.userId])
  t.deepEqual(await find(`phone=${encodeURIComponent('0049 (0)170 1234567')}`), [people[1]!.userId])
  t.deepEqual(await find('email=nobody@example.com'), [])
  t.is((await tenant.asStaff('GET', '/api/v1/users?email=nonsense')).status, 400)
  const other = await stage.tenant()
  t.deepEqual((await other.asStaff('GET', '/api/v1/users?email=ann@example.com')).body['users'], [])
  t.is((await other.asStaff('GET', `/api/v1/users/${people[0]!.userId}`)).status, 404)
})

test('contact – other functions get it in plain text', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person('ann@example.com')
  t.like(await tenant.asService('GET', `/api/v1/users/${ann.userId}/contact`), {
    status: 200,
    body: { email: 'ann@example.com', state: 'active' },
  })
  t.is((await tenant.asService('GET', `/api/v1/users/${random()}/contact`)).status, 404)
  t.is((await tenant.asStaff('GET', `/api/v1/users/${ann.userId}/contact`)).status, 403)
})
