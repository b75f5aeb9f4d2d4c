import test from 'ava'
import { decodeJwt } from 'jose'
import { random, startStage } from './testing.ts'

const stage = await startStage({
  FREE_FAILURES_PER_CONTACT: '3',
  FIRST_WAIT_SECONDS: '600',
  TRUSTED_PROXIES: '127.0.0.1',
})
test.after.always(() => stage.stop())
const from = (address: string) => ({ 'x-forwarded-for': address })

test('sign-in – registers with a code, signs in by password and by code, and every token is accepted', async (t) => {
  const { tenantId, registered, inTenant, codeFor, said } = stage.tenant()
  const { contact, password, tokens } = await registered()
  t.like(decodeJwt(tokens['accessToken']), {
    iss: stage.url,
    aud: 'stampede',
    tenant: tenantId,
    sub: tokens.userId,
    sid: tokens['sessionId'],
    roles: [],
  })
  stage.permission.roles.set(tokens.userId, ['support'])
  const byPassword = await inTenant('sessions', { contact, password })
  t.is(byPassword.status, 201)
  t.deepEqual(decodeJwt(byPassword.body['accessToken'])['roles'], ['support'])
  const code = await codeFor(contact, 'login')
  const byCode = await inTenant('sessions', { contact, code })
  t.is(byCode.status, 201)
  t.is((await inTenant('sessions', { contact, code })).status, 401, 'a code is used once')
  const { status, body } = await stage.call('GET', '/api/v1/sessions', byCode.body['accessToken'])
  t.is(status, 200)
  t.is(body['sessions'].length, 3)
  t.is(body['sessions'].filter((one: { current: boolean }) => one.current).length, 1)
  await said()
  const [registration] = stage.published(tenantId, 'io.stampede.account.registered.v1')
  t.like(registration?.data, { userId: tokens.userId, contactKind: 'email' })
  t.false(JSON.stringify(registration?.data).includes('example.com'))
  t.is(stage.published(tenantId, 'io.stampede.account.signed-in.v1').length, 3)
})

test('sign-in – contacts are the same however they are typed, and others in another tenant', async (t) => {
  const { registered, inTenant } = stage.tenant()
  const { contact, password } = await registered()
  const typed = { ...contact, value: ` ${contact.value.toUpperCase()} ` }
  t.is((await inTenant('sessions', { contact: typed, password })).status, 201)
  t.is((await stage.tenant().inTenant('sessions', { contact, password })).status, 401)
})

test('sign-in – nothing tells which accounts exist', async (t) => {
  const { registered, inTenant, person, messages, said } = stage.tenant()
  const { contact } = await registered()
  const nobody = person()
  const seen = async (path: string, body: (of: typeof nobody) => unknown) => {
    const answers = []
    for (const someone of [contact, nobody]) {
      const { status, body: answer, headers } = await inTenant(path, body(someone), from('198.51.100.7'))
      answers.push({ status, answer, names: [...headers.keys()].sort() })
    }
    return answers
  }
  for (const purpose of ['register', 'login', 'reset-password']) {
    const [known, unknown] = await seen('codes', (of) => ({ contact: of, purpose }))
    t.is(known?.status, 202)
    t.deepEqual(known, unknown)
  }
  const wrong = [
    await seen('sessions', (of) => ({ contact: of, password: 'not the password' })),
    await seen('sessions', (of) => ({ contact: of, code: '000000' })),
    await seen('registrations', (of) => ({ contact: of, code: '000000' })),
    await seen('password-resets', (of) => ({ contact: of, code: '000000', password: 'a new password' })),
  ]
  for (const [known, unknown] of wrong) {
    t.is(known?.status, 401)
    t.deepEqual(known, unknown)
  }
  // The wait begins for both alike, too.
  for (let index = 0; index < 2; index++) await seen('sessions', (of) => ({ contact: of, password: 'wrong again' }))
  const [known, unknown] = await seen('sessions', (of) => ({ contact: of, password: 'wrong again' }))
  t.is(known?.status, 429)
  t.deepEqual(known, unknown)
  await said()
  // Whoever has the contact is told, and gets a code for what is possible alone.
  t.deepEqual(
    messages(contact.value).map(({ template }) => template),
    ['register-code', 'account-exists', 'login-code', 'reset-password-code'],
  )
  t.deepEqual(
    messages(nobody.value).map(({ template }) => template),
    ['register-code', 'no-account', 'no-account'],
  )
  t.true(
    messages(nobody.value).every(({ template, parameters }) => (template === 'register-code') === 'code' in parameters),
  )
})

test('sign-in – a code has five tries, ten minutes, and is for one purpose', async (t) => {
  const { registered, inTenant, codeFor, tenantId } = stage.tenant()
  const { contact } = await registered()
  const guess = (code: string) => inTenant('sessions', { contact, code })
  const wrong = (code: string) => String((Number(code) + 1) % 1_000_000).padStart(6, '0')
  const first = await codeFor(contact, 'login')
  t.is((await inTenant('password-resets', { contact, code: first, password: 'a new password' })).status, 401)
  const guesses = await Promise.all(Array.from({ length: 5 }, () => guess(wrong(first))))
  t.deepEqual([...new Set(guesses.map(({ status }) => status))], [401])
  t.is((await guess(first)).status, 401, 'five tries are over')

  const second = await codeFor(contact, 'login')
  await stage.sql.query('UPDATE auth_codes SET expires_at = UTC_TIMESTAMP(3) WHERE tenant_id = ?', [tenantId])
  t.is((await guess(second)).status, 401, 'its time is over')

  const third = await codeFor(contact, 'login')
  const fourth = await codeFor(contact, 'login')
  if (third !== fourth) t.is((await guess(third)).status, 401, 'only the newest counts')
  const together = await Promise.all([guess(fourth), guess(fourth)])
  t.deepEqual(
    together.map(({ status }) => status).sort((one, other) => one - other),
    [201, 401],
    'one of two uses wins',
  )
})

test('sign-in – codes are asked for only so often', async (t) => {
  const { inTenant, person } = stage.tenant()
  const contact = person()
  const statuses: number[] = []
  for (let index = 0; index < 8; index++) {
    const { status, headers } = await inTenant('codes', { contact, purpose: 'login' })
    statuses.push(status)
    if (status === 429) t.true(Number(headers.get('retry-after')) > 0)
  }
  t.deepEqual(statuses, [202, 202, 202, 202, 202, 202, 429, 429])
  t.is((await inTenant('codes', { contact: person(), purpose: 'login' })).status, 202)
})

test('sign-in – wrong passwords make an account wait, also when they come at once, and a restart does not forget it', async (t) => {
  const { registered, inTenant, tenantId, said, codeFor } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const tries = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      inTenant('sessions', { contact, password: 'wrong' }, from(`198.51.101.${index}`)),
    ),
  )
  const statuses = tries.map(({ status }) => status).sort((one, other) => one - other)
  t.deepEqual(statuses, [401, 401, 401, 429, 429, 429, 429, 429])
  const other = await stage.another()
  const elsewhere = await fetch(`${other.url}/api/v1/tenants/${tenantId}/auth/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ contact, password }),
  })
  t.is(elsewhere.status, 429, 'the right one, to another process')
  t.true(Number(elsewhere.headers.get('retry-after')) > 500)
  await said()
  const [locked, ...more] = stage.published(tenantId, 'io.stampede.account.locked.v1')
  t.like(locked?.data, { userId: tokens.userId, failures: 3 })
  t.is(more.length, 0)

  // Who has the contact comes in by a code, and a new password ends the wait.
  t.is((await inTenant('sessions', { contact, code: await codeFor(contact, 'login') })).status, 201)
  const code = await codeFor(contact, 'reset-password')
  t.is((await inTenant('password-resets', { contact, code, password: 'another password' })).status, 204)
  t.is((await inTenant('sessions', { contact, password: 'another password' })).status, 201)
})

test('sign-in – the right password makes failures forgotten', async (t) => {
  const { registered, inTenant } = stage.tenant()
  const { contact, password } = await registered()
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 2; index++)
      t.is((await inTenant('sessions', { contact, password: 'wrong' })).status, 401)
    t.is((await inTenant('sessions', { contact, password })).status, 201)
  }
})

test('sign-in – an address that fails too often waits, for whatever account', async (t) => {
  const other = await stage.another({ FREE_FAILURES_PER_ADDRESS: '4' })
  const { inTenant, person } = stage.tenant(other.url)
  const guess = (address: string) => inTenant('sessions', { contact: person(), password: 'wrong' }, from(address))
  const statuses: number[] = []
  for (let index = 0; index < 5; index++) statuses.push((await guess('203.0.113.50')).status)
  t.deepEqual(statuses, [401, 401, 401, 401, 429])
  t.is((await inTenant('registrations', { contact: person(), code: '000000' }, from('203.0.113.50'))).status, 429)
  t.is((await guess('203.0.113.51')).status, 401)
  t.is((await guess('198.51.100.1, 203.0.113.50')).status, 429, 'what it claims before the proxy does not count')
})

test('sign-in – without the roles there are no tokens', async (t) => {
  const { registered, inTenant, tenantId } = stage.tenant()
  const { contact, password, tokens } = await registered()
  stage.permission.down.add(tenantId)
  try {
    const answer = await inTenant('sessions', { contact, password })
    t.is(answer.status, 503)
    t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 503)
  } finally {
    stage.permission.down.delete(tenantId)
  }
  t.is((await inTenant('sessions', { contact, password })).status, 201)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 201, 'it was not used up')
})

test('sign-in – two registrations of one contact at once make one account', async (t) => {
  const { person, codeFor, inTenant, tenantId } = stage.tenant()
  const contact = person()
  const code = await codeFor(contact, 'register')
  const both = await Promise.all([1, 2].map(() => inTenant('registrations', { contact, code })))
  t.deepEqual(
    both.map(({ status }) => status).sort((one, other) => one - other),
    [201, 401],
  )
  const [accounts] = await stage.sql.query('SELECT user_id FROM auth_accounts WHERE tenant_id = ?', [tenantId])
  t.is((accounts as unknown[]).length, 1)
})

test('sign-in – what is stored names nobody', async (t) => {
  const { registered, tenantId } = stage.tenant()
  const { contact, password, tokens } = await registered(`secret-${random()}`)
  const [tables] = await stage.sql.query(
    `SELECT DISTINCT table_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name LIKE 'auth%'`,
  )
  let looked = 0
  for (const { name } of tables as { name: string }[]) {
    const [rows] = await stage.sql.query('SELECT * FROM ??', [name])
    for (const row of rows as { tenant_id?: string }[]) {
      if (row.tenant_id !== tenantId) continue
      looked += 1
      const text = JSON.stringify(row)
      for (const secret of [contact.value, password, tokens['refreshToken'], tokens['accessToken'], '127.0.0.1'])
        t.false(text.includes(secret), `${name} holds ${secret}`)
    }
  }
  t.true(looked >= 4)
})
