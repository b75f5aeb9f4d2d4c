/** Rate limits as a client sees them. */
import test from 'ava'
import { bearer, live, startStage, type Answer } from './stage.fixture.ts'
import { noLimits, random } from './testing.ts'

test('rate limits – say what is left, and refuse with when to come again', async (t) => {
  const at = await startStage({
    limits: [{ name: random('limit'), by: 'ip', rate: 0.1, burst: 3, functions: ['seckill'] }],
  })
  t.teardown(at.stop)
  const answers: Answer[] = []
  for (let count = 0; count < 4; count++) answers.push(await at.send('GET', live))
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 429],
  )
  t.regex(String(answers[0]!.headers['ratelimit-policy']), /^"limit-\w+";q=3;w=30$/)
  t.regex(String(answers[2]!.headers['ratelimit']), /;r=0;t=\d+$/)
  const { headers, body } = answers[3]!
  t.true(Number(headers['retry-after']) >= 1 && Number(headers['retry-after']) <= 10)
  t.is(body['code'], 'rate-limited')
  t.regex(String(headers['ratelimit']), /;r=0;t=/)
  t.is(at.upstream.requests.length, 3)
  // Another function is not concerned.
  t.is((await at.send('GET', '/api/v1/activities', bearer(at.staff))).status, 200)
})

test('rate limits – by user and by tenant each have their own', async (t) => {
  const at = await startStage({
    limits: [
      { name: random('user'), by: 'user', rate: 0.01, burst: 2, routes: ['GET /api/v1/activities'] },
      { name: random('tenant'), by: 'tenant', rate: 0.01, burst: 3, routes: ['GET /api/v1/activities'] },
    ],
  })
  t.teardown(at.stop)
  const statuses = async (userId: string, tenantId: string, times: number) => {
    const token = await at.identity.token({ tenantId, userId, roles: ['administrator'] })
    const found: number[] = []
    for (let count = 0; count < times; count++)
      found.push((await at.send('GET', '/api/v1/activities', bearer(token))).status)
    return found
  }
  t.deepEqual(await statuses('a', at.tenantId, 3), [200, 200, 429])
  t.deepEqual(await statuses('b', at.tenantId, 2), [200, 429])
  t.deepEqual(await statuses('a', random('other'), 2), [200, 200])
})

test('rate limits – tokens that are not valid are counted for their address, and then cost nothing', async (t) => {
  const at = await startStage({
    ...noLimits,
    invalidTokens: { rate: 0.01, burst: 3 },
    addresses: { trustedProxies: ['127.0.0.1'] },
  })
  t.teardown(at.stop)
  const forged = (await at.identity.invalidTokens())['forged']!
  const statuses: number[] = []
  for (let count = 0; count < 5; count++) {
    statuses.push(
      (await at.send('GET', '/api/v1/activities', { ...bearer(forged), 'x-forwarded-for': '192.0.2.1' })).status,
    )
  }
  t.deepEqual(statuses, [401, 401, 401, 401, 429])
  // Who is known already does not suffer for a neighbour.
  const known = { ...bearer(at.staff), 'x-forwarded-for': '192.0.2.9' }
  t.is((await at.send('GET', '/api/v1/activities', known)).status, 200)
  t.is((await at.send('GET', '/api/v1/activities', { ...known, 'x-forwarded-for': '192.0.2.1' })).status, 200)
  t.is((await at.send('GET', '/api/v1/activities', { ...bearer(forged), 'x-forwarded-for': '192.0.2.2' })).status, 401)
})
