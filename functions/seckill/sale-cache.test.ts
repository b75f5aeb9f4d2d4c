import test from 'ava'
import type { BucketRef, BucketSnapshot } from '@stampede/shared/sale/types.ts'
import {
  createSaleCache,
  earlyAnswer,
  refusalFromMemory,
  staleAfterMs,
  takeToken,
  type SaleCache,
} from './sale-cache.ts'

const base: BucketSnapshot = {
  state: 'open',
  nowMs: 0,
  total: 10,
  left: 10,
  sold: 0,
  confirmed: 0,
  received: 0,
  sent: 0,
  recoveries: 0,
  perUserLimit: 1,
  buckets: 1,
  startsAtMs: 0,
  endsAtMs: 1_000_000,
  outboxLength: 0,
  version: 0,
  whole: true,
}

/** A cache over snapshots that the test makes, by a clock that it sets. */
function stage(snapshot: (bucket: BucketRef) => BucketSnapshot | undefined) {
  const asked: string[] = []
  const clock = { ms: 10_000 }
  const cache: SaleCache = createSaleCache({
    store: {
      snapshot: async (bucket) => {
        asked.push(`${bucket.activityId}:${bucket.bucket}`)
        return snapshot(bucket)
      },
      scanBuyers: async () => ({ cursor: '0', buyers: [] }),
    },
    pollMs: 1_000_000,
    winnersLimit: 100,
    burst: 2,
    now: () => clock.ms,
  })
  return { cache, asked, clock }
}

test('cache – first use: one read for all who ask at the same time, none after it', async (t) => {
  const { cache, asked } = stage(() => base)
  t.is(cache.get('t', 'a'), undefined)
  const [one, other] = await Promise.all([cache.load('t', 'a'), cache.load('t', 'a')])
  t.is(one, other)
  t.truthy(one)
  t.is(cache.get('t', 'a'), one)
  t.deepEqual(asked, ['a:0'])
  cache.stop()
})

test('cache – unknown activity: remembered as unknown; of another tenant: asked anew', async (t) => {
  const { cache, asked } = stage(({ tenantId }) => (tenantId === 't' ? base : undefined))
  t.is(await cache.load('u', 'a'), null)
  t.is(await cache.load('u', 'a'), null)
  t.is(cache.get('u', 'a'), null)
  t.deepEqual(asked, ['a:0'])
  t.truthy(await cache.load('t', 'a'))
  cache.stop()
})

test('cache – what is not an identifier is never asked for: keys are made from it', async (t) => {
  const { cache, asked } = stage(() => base)
  for (const activityId of ['', 'a:b', 'a}b', 'a b', 'x'.repeat(65)]) t.is(await cache.load('t', activityId), null)
  t.deepEqual(asked, [])
  cache.stop()
})

test('cache – several buckets: added up; half warmed up: not there', async (t) => {
  let warm = 1
  const { cache } = stage(({ bucket }) => (bucket < warm ? { ...base, buckets: 3, left: bucket } : undefined))
  t.is(await cache.load('t', 'a'), null)
  warm = 3
  const sale = await cache.load('t', 'a')
  t.is(sale?.left, 3)
  t.is(sale?.total, 30)
  t.deepEqual(
    sale?.buckets.map(({ bucket }) => bucket),
    [0, 1, 2],
  )
  cache.stop()
})

test('memory – refuses only what is certain by the clock of Redis', async (t) => {
  const { cache, clock } = stage(() => ({ ...base, nowMs: 50_000, startsAtMs: 60_000, endsAtMs: 70_000 }))
  const sale = (await cache.load('t', 'a'))!
  // Redis is 40 s ahead of this clock; the error is 1 ms.
  t.is(sale.clockOffsetMs, 40_000)
  const at = (redisMs: number) => {
    sale.readAtMs = redisMs - 40_000
    return refusalFromMemory(sale, redisMs - 40_000)
  }
  t.deepEqual([59_998, 59_999, 60_000, 69_999, 70_000, 70_001].map(at), [
    'not-started',
    undefined,
    undefined,
    undefined,
    undefined,
    'ended',
  ])
  sale.state = 'paused'
  t.is(at(65_000), 'paused')
  t.is(refusalFromMemory(sale, sale.readAtMs + staleAfterMs + 1), undefined, 'too old to be believed')
  clock.ms = 15_000
  t.is(
    Number(earlyAnswer(sale, clock.ms).headers.at(earlyAnswer(sale, clock.ms).headers.indexOf('retry-after') + 1)),
    5,
  )
  cache.stop()
})

test('sold out – only when nothing is left, nothing travels, and the sale is whole', async (t) => {
  const cases: [Partial<BucketSnapshot>, boolean][] = [
    [{ left: 0 }, true],
    [{ left: 1 }, false],
    [{ left: 0, sent: 3, received: 1 }, false],
    [{ left: 0, whole: false }, false],
  ]
  for (const [snapshot, soldOut] of cases) {
    const { cache, clock } = stage(() => ({ ...base, ...snapshot }))
    const sale = (await cache.load('t', 'a'))!
    t.is(sale.soldOutUntilMs, soldOut ? clock.ms + 1_000 : 0)
    cache.clearSoldOut('t', 'a')
    t.is(sale.soldOutUntilMs, 0)
    t.is(sale.winners, undefined)
    cache.stop()
  }
})

test('sold out – the winners are forgotten when a unit came back, also when it was sold again at once', async (t) => {
  let version = 1
  const { cache } = stage(() => ({ ...base, left: 0, version }))
  const sale = (await cache.load('t', 'a'))!
  while (!sale.winners) await new Promise(setImmediate)
  const before = sale.winners
  await cache.refresh(sale)
  t.is(sale.winners, before)
  version = 2
  await cache.refresh(sale)
  t.not(sale.winners, before)
  cache.stop()
})

test('rate – tokens come back with time, never more than the burst', async (t) => {
  const { cache, clock } = stage(() => base)
  const sale = (await cache.load('t', 'a'))!
  const take = () => takeToken(sale, 10, 2, clock.ms)
  t.deepEqual([take(), take(), take()], [true, true, false])
  clock.ms += 100
  t.deepEqual([take(), take()], [true, false])
  clock.ms += 60_000
  t.deepEqual([take(), take(), take()], [true, true, false])
  cache.stop()
})
