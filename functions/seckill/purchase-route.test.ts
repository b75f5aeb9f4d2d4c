import test from 'ava'
import { startRedis } from '@stampede/shared/testing/services.ts'
import {
  accessToken,
  forgedPasses,
  passFor,
  passes,
  randomId,
  serviceToken,
  startStage,
  type Stage,
} from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage.stop())

const pathOf = (activityId: string) => `/api/v1/seckill/${activityId}/purchases`
const json = { 'content-type': 'application/json' }

test('purchase – accepted with a pass: 202 with the order number, one unit less', async (t) => {
  const sale = await stage.sale()
  const answer = await stage.press(sale.activityId, 'ann')
  t.is(answer.status, 202)
  t.is(answer.body['status'], 'accepted')
  t.regex(String(answer.body['orderNumber']), /^[0-9A-HJKMNP-TV-Z]{26}$/)
  const snapshot = await stage.store.snapshot({ ...sale, bucket: 0 })
  t.is(snapshot?.left, 9)
  t.is(snapshot?.sold, 1)
  t.is(answer.headers.get('content-type'), 'application/json; charset=utf-8')
})

test('purchase – accepted with an access token, new and remembered', async (t) => {
  const sale = await stage.sale({ perUserLimit: 2 })
  const headers = { ...json, authorization: `Bearer ${await accessToken(stage.tenantId, 'ann')}` }
  t.is((await stage.post(pathOf(sale.activityId), headers, '{}')).status, 202)
  t.is((await stage.post(pathOf(sale.activityId), headers, '{"quantity":1}')).status, 202)
})

test('purchase – an empty body means one piece', async (t) => {
  const sale = await stage.sale()
  const pass = passFor({ ...sale, userId: 'ann' })
  const answer = await stage.post(pathOf(sale.activityId), { 'stampede-pass': pass })
  t.is(answer.status, 202)
})

test('purchase – the same idempotency key gets the same order number', async (t) => {
  const sale = await stage.sale({ perUserLimit: 5 })
  const first = await stage.press(sale.activityId, 'ann', { quantity: 2, idempotencyKey: 'k-1' })
  const second = await stage.press(sale.activityId, 'ann', { quantity: 2, idempotencyKey: 'k-1' })
  t.deepEqual([first.status, second.status], [202, 202])
  t.is(second.body['orderNumber'], first.body['orderNumber'])
  t.is((await stage.store.snapshot({ ...sale, bucket: 0 }))?.left, 8)
})

test('purchase – second press of a buyer: 409 duplicate with the order number', async (t) => {
  const sale = await stage.sale()
  const first = await stage.press(sale.activityId, 'ann')
  const second = await stage.press(sale.activityId, 'ann')
  t.is(second.status, 409)
  t.is(second.body['code'], 'duplicate')
  t.is(second.body['orderNumber'], first.body['orderNumber'])
  t.is(second.headers.get('content-type'), 'application/problem+json')
})

test('purchase – more than the limit leaves: 422 with what remains', async (t) => {
  const sale = await stage.sale({ perUserLimit: 3 })
  t.is((await stage.press(sale.activityId, 'ann', { quantity: 2 })).status, 202)
  const answer = await stage.press(sale.activityId, 'ann', { quantity: 2 })
  t.is(answer.status, 422)
  t.is(answer.body['code'], 'over-limit')
  t.is(answer.body['remaining'], 1)
})

test('purchase – nothing left: 410; fewer left than wanted: 410 with what is left', async (t) => {
  const sale = await stage.sale({ stock: 2, perUserLimit: 2 })
  t.is((await stage.press(sale.activityId, 'ann')).status, 202)
  const fewer = await stage.press(sale.activityId, 'bob', { quantity: 2 })
  t.deepEqual([fewer.status, fewer.body['code'], fewer.body['left']], [410, 'sold-out', 1])
  t.is((await stage.press(sale.activityId, 'bob')).status, 202)
  const none = await stage.press(sale.activityId, 'cid')
  t.deepEqual([none.status, none.body['code'], none.body['left']], [410, 'sold-out', undefined])
})

test('purchase – before the start: 425 with Retry-After and the start', async (t) => {
  const startsAtMs = Date.now() + 90_000
  const sale = await stage.sale({ startsAtMs })
  const answer = await stage.press(sale.activityId, 'ann')
  t.is(answer.status, 425)
  t.is(answer.body['code'], 'not-started')
  t.is(answer.body['startsAt'], new Date(startsAtMs).toISOString())
  const retryAfter = Number(answer.headers.get('retry-after'))
  t.true(retryAfter > 60 && retryAfter <= 90, `${retryAfter}`)
})

test('purchase – after the end: 410 ended', async (t) => {
  const sale = await stage.sale({ endsAtMs: Date.now() - 1_000 })
  const answer = await stage.press(sale.activityId, 'ann')
  t.deepEqual([answer.status, answer.body['code']], [410, 'ended'])
})

test('purchase – paused: 423, resumed: 202, closed: 410', async (t) => {
  const sale = await stage.sale({ perUserLimit: 5 })
  const change = { tenantId: sale.tenantId, activityId: sale.activityId, at: new Date().toISOString() }
  t.is((await stage.press(sale.activityId, 'ann')).status, 202)
  t.true((await stage.event('io.stampede.activity.paused.v1', change)) < 300)
  const paused = await stage.press(sale.activityId, 'ann')
  t.deepEqual([paused.status, paused.body['code']], [423, 'paused'])
  t.true((await stage.event('io.stampede.activity.resumed.v1', change)) < 300)
  t.is((await stage.press(sale.activityId, 'ann')).status, 202)
  t.true((await stage.event('io.stampede.activity.closed.v1', change)) < 300)
  const closed = await stage.press(sale.activityId, 'ann')
  t.deepEqual([closed.status, closed.body['code']], [410, 'ended'])
  // Closed is final, and the event is acknowledged all the same.
  t.true((await stage.event('io.stampede.activity.resumed.v1', change)) < 300)
  t.is((await stage.press(sale.activityId, 'ann')).status, 410)
})

test('purchase – unknown activity and activity of another tenant: 404', async (t) => {
  const sale = await stage.sale()
  const unknown = await stage.press(randomId('nothing'), 'ann')
  t.deepEqual([unknown.status, unknown.body['code']], [404, 'not-found'])
  const pass = passFor({ tenantId: randomId('tenant'), userId: 'ann', activityId: sale.activityId })
  t.is((await stage.post(pathOf(sale.activityId), { ...json, 'stampede-pass': pass }, '{}')).status, 404)
})

test('purchase – credentials: each that is not good has its own answer', async (t) => {
  const sale = await stage.sale()
  const { tenantId } = stage
  const { activityId } = sale
  const times = { issuedAtMs: Date.now(), expiresAtMs: Date.now() + 60_000 }
  const claims = { tenantId, userId: 'ann', activityId, device: '', ...times }
  const cases: [string, Record<string, string>, number, string][] = [
    ['nothing', {}, 401, 'unauthenticated'],
    ['forged pass', { 'stampede-pass': forgedPasses.issue(claims) }, 401, 'unauthenticated'],
    [
      'expired pass',
      { 'stampede-pass': passes.issue({ ...claims, expiresAtMs: Date.now() - 1 }) },
      401,
      'unauthenticated',
    ],
    ['cut pass', { 'stampede-pass': passes.issue(claims).slice(0, -1) }, 401, 'unauthenticated'],
    ['rubbish pass', { 'stampede-pass': 'v2.k1.~~~~~~.x' }, 401, 'unauthenticated'],
    [
      'pass of another activity',
      { 'stampede-pass': passes.issue({ ...claims, activityId: 'other' }) },
      403,
      'forbidden',
    ],
    [
      'forged pass of another activity',
      { 'stampede-pass': forgedPasses.issue({ ...claims, activityId: 'other' }) },
      401,
      'unauthenticated',
    ],
    [
      'pass of another device',
      { 'stampede-pass': passes.issue({ ...claims, device: 'phone' }), 'stampede-device': 'tablet' },
      403,
      'forbidden',
    ],
    ['pass without its device', { 'stampede-pass': passes.issue({ ...claims, device: 'phone' }) }, 403, 'forbidden'],
    ['rubbish token', { authorization: 'Bearer x.y.z' }, 401, 'unauthenticated'],
    ['no bearer', { authorization: 'Basic eDp5' }, 401, 'unauthenticated'],
    [
      'forged token',
      { authorization: `Bearer ${await accessToken(tenantId, 'ann', { forged: true })}` },
      401,
      'unauthenticated',
    ],
    [
      'expired token',
      { authorization: `Bearer ${await accessToken(tenantId, 'ann', { expiresAt: 1_000 })}` },
      401,
      'unauthenticated',
    ],
    ['service token', { authorization: `Bearer ${await serviceToken(tenantId)}` }, 403, 'forbidden'],
  ]
  for (const [name, headers, status, code] of cases) {
    const answer = await stage.post(pathOf(activityId), { ...json, ...headers }, '{}')
    t.deepEqual([answer.status, answer.body['code']], [status, code], name)
  }
  t.is((await stage.store.snapshot({ ...sale, bucket: 0 }))?.sold, 0)
  const own = { ...json, 'stampede-pass': passes.issue({ ...claims, device: 'phone' }), 'stampede-device': 'phone' }
  t.is((await stage.post(pathOf(activityId), own, '{}')).status, 202)
})

test('purchase – sampled: the trace goes on in the outbox; not sampled or broken: it does not', async (t) => {
  const redis = await startRedis()
  const own = await startStage({ REDIS_URL: redis.url, RELAY_LINGER_MS: '1000' })
  try {
    const sale = await own.sale()
    const sampled = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const traces = { ann: sampled, bob: sampled.replace(/01$/, '00'), cid: 'x'.repeat(55) }
    for (const [user, traceparent] of Object.entries(traces)) {
      t.is((await own.press(sale.activityId, user, {}, { traceparent })).status, 202)
    }
    // Before the relay of this process, which lets purchases gather for a second.
    const entries = await own.store.readOutbox({ ...sale, bucket: 0 }, 'test', 10)
    const found = entries.flatMap(({ purchases }) => purchases)
    t.deepEqual(
      found.map(({ userId, traceparent }) => [userId, traceparent]),
      [
        ['ann', sampled],
        ['bob', undefined],
        ['cid', undefined],
      ],
    )
  } finally {
    await own.stop()
    await redis.stop()
  }
})

test('purchase – rate of the activity used up: 429', async (t) => {
  const slow = await startStage({ ACTIVITY_RATE: '1', ACTIVITY_BURST: '2' })
  try {
    const sale = await slow.sale()
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map((user) => slow.press(sale.activityId, user)))
    t.deepEqual(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [202, 202, 429, 429],
    )
    const refused = answers.find(({ status }) => status === 429)!
    t.is(refused.body['code'], 'rate-limited')
    t.is(refused.headers.get('retry-after'), '1')
  } finally {
    await slow.stop()
  }
})

test('purchase – more waiting than the queue takes: 503 overloaded at once, the others are served', async (t) => {
  const small = await startStage({ DECISION_QUEUE: '4', DECISION_CALLS_IN_FLIGHT: '1' })
  try {
    const sale = await small.sale({ stock: 1_000 })
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, user) => small.press(sale.activityId, `user-${user}`)),
    )
    const accepted = answers.filter(({ status }) => status === 202).length
    const overloaded = answers.filter(({ status, body }) => status === 503 && body['code'] === 'overloaded').length
    t.is(accepted + overloaded, 200)
    t.true(accepted >= 4)
    t.true(overloaded > 0)
    t.is((await small.store.snapshot({ ...sale, bucket: 0 }))?.sold, accepted)
    t.is((await small.press(sale.activityId, 'late')).status, 202)
  } finally {
    await small.stop()
  }
})

test('seed route – same sale, own identity only', async (t) => {
  const sale = await stage.sale()
  const headers = { ...json, authorization: `Bearer ${await accessToken(stage.tenantId, 'ann')}` }
  const path = '/api/flash-sale/order/create'
  const body = (userId: unknown, quantity: unknown = 1) =>
    JSON.stringify({ userId, activityId: sale.activityId, quantity })
  const accepted = await stage.post(path, headers, body('ann'))
  t.is(accepted.status, 202)
  t.is((await stage.post(path, headers, body('ann'))).body['code'], 'duplicate')
  const other = await stage.post(path, headers, body('bob'))
  t.deepEqual([other.status, other.body['code']], [403, 'forbidden'])
  t.is((await stage.post(path, headers, body('ann', 0))).status, 400)
  t.is((await stage.post(path, json, body('ann'))).status, 401)
  t.is((await stage.post(path, json, '')).status, 401)
  const pass = { ...json, 'stampede-pass': passFor({ ...sale, userId: '42' }) }
  t.is((await stage.post(path, pass, body(42))).status, 202)
})
