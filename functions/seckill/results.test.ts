/** Results, the live view and passes over real HTTP. */
import test from 'ava'
import { accessToken, passFor, passes, randomId, serviceToken, startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage.stop())

const resultPath = (activityId: string, query = '') => `/api/v1/seckill/${activityId}/result${query}`
const passOf = (activityId: string, userId = 'ann') => ({
  'stampede-pass': passFor({ tenantId: stage.tenantId, userId, activityId }),
})

async function bought(activityId: string, userId = 'ann'): Promise<string> {
  return String((await stage.press(activityId, userId)).body['orderNumber'])
}
const ofOrder = (activityId: string, orderNumber: string, more: object, userId = 'ann') => ({
  tenantId: stage.tenantId,
  activityId,
  orders: [{ orderNumber, userId, quantity: 1, ...more }],
})
const stored = { amountCents: 100, currency: 'EUR', payBy: '2030-01-01T00:00:00.000Z' }

test('result – none, accepted, confirmed, released', async (t) => {
  const { activityId } = await stage.sale()
  const look = async () => (await stage.get(resultPath(activityId), passOf(activityId))).body
  t.deepEqual(await look(), { state: 'none', orders: [] })
  const orderNumber = await bought(activityId)
  const of = (state: string) => ({ state, orderNumber, quantity: 1, orders: [{ orderNumber, quantity: 1, state }] })
  t.deepEqual(await look(), of('accepted'))
  t.true((await stage.event('io.stampede.order.created.v1', ofOrder(activityId, orderNumber, stored))) < 300)
  t.deepEqual(await look(), of('confirmed'))
  t.true(
    (await stage.event(
      'io.stampede.order.rejected.v1',
      ofOrder(activityId, orderNumber, { reason: 'activity-closed' }),
    )) < 300,
  )
  t.deepEqual(await look(), of('released'))
})

test('result – several purchases: all are listed, the newest live one counts', async (t) => {
  const { activityId } = await stage.sale({ perUserLimit: 3 })
  const numbers = [await bought(activityId), await bought(activityId)]
  await stage.event('io.stampede.order.cancelled.v1', ofOrder(activityId, numbers[1]!, { reason: 'buyer' }))
  const { body } = await stage.get(resultPath(activityId), passOf(activityId))
  t.deepEqual([body['state'], body['orderNumber']], ['accepted', numbers[0]])
  t.is((body['orders'] as unknown[]).length, 2)
})

test('result – with an access token; nobody else’s; unknown activity; refusals', async (t) => {
  const { activityId } = await stage.sale()
  await bought(activityId)
  const token = async (userId: string) => ({ authorization: `Bearer ${await accessToken(stage.tenantId, userId)}` })
  t.is((await stage.get(resultPath(activityId), await token('ann'))).body['state'], 'accepted')
  t.is((await stage.get(resultPath(activityId), await token('bob'))).body['state'], 'none')
  t.is((await stage.get(resultPath(activityId))).status, 401)
  t.is((await stage.get(resultPath(activityId), passOf('other'))).status, 403)
  const service = { authorization: `Bearer ${await serviceToken(stage.tenantId)}` }
  t.is((await stage.get(resultPath(activityId), service)).status, 403)
  const unknown = randomId('nothing')
  t.is((await stage.get(resultPath(unknown), passOf(unknown))).status, 404)
  for (const wait of ['31', '-1', 'x', '1.5']) {
    const answer = await stage.get(resultPath(activityId, `?waitSeconds=${wait}`), passOf(activityId))
    t.deepEqual([answer.status, answer.body['code']], [400, 'invalid-request'], wait)
  }
})

test('result – long poll ends when the order is stored, and when the time is over', async (t) => {
  const { activityId } = await stage.sale()
  const orderNumber = await bought(activityId)
  const early = await stage.get(resultPath(activityId, '?waitSeconds=1'), passOf(activityId))
  t.is(early.body['state'], 'accepted')
  const waiting = stage.get(resultPath(activityId, '?waitSeconds=30'), passOf(activityId))
  await stage.event('io.stampede.order.created.v1', ofOrder(activityId, orderNumber, stored))
  t.is((await waiting).body['state'], 'confirmed')
})

/** Reads server-sent events until the stream ends or `enough` says so. */
async function eventsOf(
  response: Response,
  enough: (events: { name: string; data: unknown }[]) => boolean = () => false,
) {
  const events: { name: string; data: unknown }[] = []
  let text = ''
  const reader = response
    .body!.pipeThrough(new TextDecoderStream() as never)
    .getReader() as ReadableStreamDefaultReader<string>
  while (!enough(events)) {
    const { done, value } = await reader.read()
    if (done) break
    text += value
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? []
      if (name && data) events.push({ name, data: JSON.parse(data) })
      text = text.slice(end + 2)
    }
  }
  await reader.cancel()
  return events
}

test('result – server-sent events: each change, then the end', async (t) => {
  const { activityId } = await stage.sale()
  const response = await fetch(stage.url + resultPath(activityId), {
    headers: { ...passOf(activityId), accept: 'text/event-stream' },
  })
  t.is(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const reading = eventsOf(response)
  const orderNumber = await bought(activityId)
  // Long enough for the watchers to be looked up in between.
  while ((await stage.get(resultPath(activityId, '?waitSeconds=1'), passOf(activityId))).body['state'] !== 'accepted');
  await stage.event('io.stampede.order.created.v1', ofOrder(activityId, orderNumber, stored))
  const states = (await reading).map(({ data }) => (data as { state: string }).state)
  t.is(states.at(-1), 'confirmed')
  t.true(states.includes('accepted'))
  t.is(new Set(states).size, states.length)
})

test('result – more waiters than allowed: 503; more of one buyer: 429; the places are free again', async (t) => {
  const small = await startStage({ RESULT_WAITERS: '2', RESULT_WAITERS_PER_BUYER: '1' })
  try {
    const { activityId } = await small.sale()
    const wait = (userId: string, signal?: AbortSignal) =>
      fetch(`${small.url}${resultPath(activityId, '?waitSeconds=20')}`, {
        headers: { 'stampede-pass': passFor({ tenantId: small.tenantId, userId, activityId }) },
        ...(signal ? { signal } : {}),
      })
    const gone = new AbortController()
    const first = wait('ann', gone.signal).catch(() => undefined)
    const second = wait('bob', gone.signal).catch(() => undefined)
    const waiters = async () =>
      /stampede_seckill_result_waiters\{.*\} (\d+)/.exec(await (await fetch(`${small.url}/metrics`)).text())?.[1]
    while ((await waiters()) !== '2');
    t.is((await wait('cid')).status, 503)
    gone.abort()
    await Promise.all([first, second])
    while ((await waiters()) !== '0');
    const third = wait('ann')
    while ((await waiters()) !== '1');
    t.is((await wait('ann')).status, 429)
    const stopping = small.serving.stop()
    t.is((await third).status, 200, 'draining answers who waits')
    await stopping
  } finally {
    await small.stop()
  }
})

test('live – counts for everybody, by tenant where it is ambiguous', async (t) => {
  const sale = await stage.sale({ stock: 5 })
  await bought(sale.activityId)
  await stage.press(sale.activityId, 'ann')
  const path = `/api/v1/seckill/${sale.activityId}/live`
  let body: Record<string, unknown> = {}
  do ({ body } = await stage.get(path))
  while (body['left'] !== 4)
  t.like(body, { activityId: sale.activityId, state: 'open', total: 5, left: 4, sold: 1, confirmed: 0 })
  t.true(Number((body['refused'] as Record<string, number>)['duplicate']) >= 1)
  t.is((await stage.get(`/api/v1/seckill/${randomId('nothing')}/live`)).status, 404)
  t.is((await stage.get(`${path}?tenantId=${randomId('tenant')}`)).status, 404)
  const other = { ...sale, tenantId: randomId('tenant') }
  await stage.store.warmUp(other)
  t.teardown(() => stage.store.expire(other, 1))
  t.is((await stage.get(path)).status, 404, 'two tenants have an activity of this id')
  t.is((await stage.get(`${path}?tenantId=${stage.tenantId}`)).status, 200)
})

test('live – server-sent events each second; draining ends them and tells when to come back', async (t) => {
  const own = await startStage()
  const { activityId } = await own.sale()
  const response = await fetch(`${own.url}/api/v1/seckill/${activityId}/live`, {
    headers: { accept: 'text/event-stream' },
  })
  const [copy, rest] = response.body!.tee()
  const events = await eventsOf(new Response(copy), (seen) => seen.length >= 2)
  t.is(events[0]?.name, 'live')
  t.like(events[1]?.data, { activityId, total: 10 })
  const ended = new Response(rest).text()
  await own.stop()
  t.regex(await ended, /^retry: 1000\n\n/)
})

test('pass – lets its buyer buy; bound to the device; not for unknown or ended sales; available before the start', async (t) => {
  const { activityId } = await stage.sale()
  const headers = { authorization: `Bearer ${await accessToken(stage.tenantId, 'ann')}`, 'stampede-device': 'phone-1' }
  const path = (activity: string) => `/api/v1/seckill/${activity}/pass`
  const answer = await stage.post(path(activityId), headers)
  t.is(answer.status, 200)
  const pass = String(answer.body['pass'])
  const press = (more: Record<string, string>) =>
    stage.post(`/api/v1/seckill/${activityId}/purchases`, { 'stampede-pass': pass, ...more })
  t.is((await press({ 'stampede-device': 'phone-2' })).status, 403)
  t.is((await press({ 'stampede-device': 'phone-1' })).status, 202)
  const claims = passes.verify(pass, activityId, 'phone-1')
  t.like(claims, { tenantId: stage.tenantId, userId: 'ann', activityId, device: 'phone-1' })
  t.is(new Date(String(answer.body['expiresAt'])).getTime(), claims!.expiresAtMs)

  const startsAtMs = Date.now() + 3_600_000
  const future = await stage.sale({ startsAtMs, endsAtMs: startsAtMs + 60_000 })
  const early = await stage.post(path(future.activityId), headers)
  t.is(early.status, 200)
  const expiry = new Date(String(early.body['expiresAt'])).getTime()
  t.true(expiry > startsAtMs && expiry <= startsAtMs + 61_000)

  t.is((await stage.post(path(randomId('nothing')), headers)).status, 404)
  t.is((await stage.post(path('not%20an%20id'), headers)).status, 404)
  const ended = await stage.sale({ endsAtMs: Date.now() - 1_000 })
  t.deepEqual((await stage.post(path(ended.activityId), headers)).body['code'], 'ended')
  t.is((await stage.post(path(activityId), { ...headers, 'stampede-device': 'no device!' })).status, 400)
  t.is((await stage.post(path(activityId), {})).status, 401)
  t.is(
    (await stage.post(path(activityId), { authorization: `Bearer ${await serviceToken(stage.tenantId)}` })).status,
    403,
  )
})
