import test from 'ava'
import { NoAnswerError } from '../cluster/send.ts'
import type { Ledger } from '../sale/audit.ts'
import { StaffError } from '../sale/staff.ts'
import type { ClusterWatch } from './cluster-watch.ts'
import type { PreparedSale } from './cluster-sale.ts'
import type { LoadResult } from './load-orders.ts'
import { startRecorder } from './record.ts'
import { runLoad, type LoadRunEffects } from './run-load.ts'
import type { ClusterSample } from './samples.ts'
import { loadSecond } from './testing.ts'

const pods = (ready: number, terminating = 0) => ({ pending: 0, creating: 0, running: 0, ready, terminating })

/** A clock that only sleeping moves; each second of it is a tick. */
function stage(options: { stored: readonly string[]; neverDown?: boolean }) {
  let nowMs = 0
  let tick: () => void = () => undefined
  let loadBegan: number | undefined
  const asked: { second: number; stock: boolean }[] = []
  const watch: ClusterWatch = {
    async look(): Promise<ClusterSample> {
      const since = loadBegan === undefined ? -1 : (nowMs - loadBegan) / 1_000
      const ready = options.neverDown === true ? 1 : since < 1 ? 0 : since < 20 ? 2 : 0
      asked.push({ second: nowMs / 1_000, stock: watch.readStock !== undefined })
      return {
        functions: { seckill: { pods: pods(ready, since >= 20 && since < 25 ? 2 : 0), desired: ready } },
        lag: { orders: Math.max(0, since) },
      }
    },
    pods: () => [],
    minimums: () => ({ seckill: 0 }),
    readStock: undefined,
  }
  const recorder = startRecorder({
    watch,
    onSample: () => undefined,
    ticks: (work) => {
      tick = work
      return () => (tick = () => undefined)
    },
    nowMs: () => nowMs,
  })
  const sleep = async (ms: number) => {
    const until = nowMs + ms
    while (nowMs < until) {
      const before = nowMs
      nowMs = Math.min(until, nowMs + 500)
      if (Math.floor(before / 1_000) < Math.floor(nowMs / 1_000)) tick()
      // The look is answered before time goes on.
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const said: string[] = []
  const held = ['n1', 'n2'].map((orderNumber) => ({
    orderNumber,
    userId: orderNumber,
    quantity: 1,
    pressedAtMs: 0,
    answeredAtMs: 0,
  }))
  const result: LoadResult = {
    requests: 10,
    accepted: 2,
    answers: { 'sold-out': 8 },
    errors: 0,
    noAnswer: 0,
    cut: [],
    cutCount: 0,
    notSent: 0,
    held,
    phases: [{ name: 'steady', seconds: 10, requests: 10, accepted: 2, errors: 0, p50Ms: 5, p99Ms: 9 }],
  }
  const effects: LoadRunEffects = {
    watch,
    recorder,
    prepareSale: async () => {
      await sleep(3_000)
      return {
        activityId: 'sale-1',
        stock: 2,
        startsAtMs: nowMs + 2_000,
        readStock: async () => ({ left: 0, sold: 2, confirmed: 2, outbox: 0 }),
        close: async () => undefined,
      } as PreparedSale
    },
    startLoad: (_, onSecond) => {
      loadBegan = nowMs
      return {
        finished: (async () => {
          for (let second = 0; second < 10; second++) {
            onSecond(loadSecond({ target: 1, sent: 1 }))
            await sleep(1_000)
          }
          return result
        })(),
        stop: () => undefined,
        kill: () => undefined,
      }
    },
    openLedger: async () => ({
      from: 'a test',
      read: async (): Promise<Ledger> => ({
        orders: new Map(
          options.stored.map((orderNumber) => [
            orderNumber,
            { orderNumber, userId: orderNumber, quantity: 1, live: true, storedAtMs: 0 },
          ]),
        ),
        rejected: new Set(),
      }),
      close: async () => undefined,
    }),
    gaps: () => [],
    say: (line) => said.push(line),
    sleep,
    nowMs: () => nowMs,
  }
  const run = {
    profile: 'steady',
    plan: [{ name: 'steady', seconds: 10, rate: 1 }],
    fromMinimum: false,
    downWithinMs: 60_000,
    storedWithinMs: 5_000,
  }
  return { run, effects, recorder, asked, said }
}

test('a load run – goes through its phases, and ends when everything is back at its minimum', async (t) => {
  const { run, effects, recorder, asked } = stage({ stored: ['n1', 'n2'] })
  const summary = await runLoad(run, effects)
  const phases = recorder.samples.map(({ phase }) => phase)
  t.deepEqual([...new Set(phases)], ['prepare', 'before', 'steady', 'answers', 'down'])
  t.is(phases.filter((phase) => phase === 'steady' || phase === 'answers').length, 10)
  t.is(recorder.samples.filter(({ load }) => load !== undefined).length, 10)
  t.is(summary.functions['seckill']?.maxPods, 2)
  t.is(summary.functions['seckill']?.secondsToFirstPod, 0)
  // Ready until 20 s after the begin; the first sample of the load is one second after its begin.
  t.is(summary.functions['seckill']?.secondsToMinimum, 9)
  t.is(summary.secondsBackToMinimum, 9)
  t.deepEqual(summary.stored, { ordersStored: 2, oversold: 0, lost: 0, double: 0, stock: 2, readFrom: 'a test' })
  t.is(summary.generator.bottleneck, null)
  // Looking at the stock is a request: none while pods are to go.
  t.true(asked.some(({ stock }) => stock))
  const down = recorder.samples.filter(({ phase }) => phase === 'down').map(({ second }) => second)
  t.false(asked.some(({ second, stock }) => stock && second > down[0]! + 2))
})

test('a load run – an accepted purchase that is not stored in time is lost', async (t) => {
  const { run, effects } = stage({ stored: ['n1'] })
  const summary = await runLoad(run, effects)
  t.is(summary.stored?.lost, 1)
})

test('a load run – pods that stay are waited for within the limit, and not called back', async (t) => {
  const { run, effects, said } = stage({ stored: ['n1', 'n2'], neverDown: true })
  const summary = await runLoad(run, effects)
  t.is(summary.secondsBackToMinimum, null)
  t.true(said.some((line) => line.includes('Not at the minimum after 60 s: seckill')))
})

test('a load run – a cluster that is away while it prepares or reads what was stored is not the end', async (t) => {
  const { run, effects, said } = stage({ stored: ['n1', 'n2'] })
  const before = { ...effects }
  let failures = 0
  const fail = (error: Error) => {
    failures += 1
    return Promise.reject(error)
  }
  effects.prepareSale = () => (failures < 2 ? fail(new NoAnswerError('nobody there')) : before.prepareSale())
  effects.openLedger = async (sale) => {
    if (failures < 3) return fail(new Error('no route'))
    const ledger = await before.openLedger(sale)
    return { ...ledger, read: () => (failures < 5 ? fail(new Error('connection lost')) : ledger.read()) }
  }
  const summary = await runLoad(run, effects)
  t.is(failures, 5)
  t.like(summary.stored, { ordersStored: 2, lost: 0 })
  t.is(said.filter((line) => /Trying again/.test(line)).length, 2)
})

test('a load run – what cannot be read to the end is said, and nothing is claimed; the report comes', async (t) => {
  const { run, effects, said } = stage({ stored: [] })
  effects.openLedger = () => Promise.reject(new Error('no route'))
  const summary = await runLoad(run, effects)
  t.is(summary.stored, undefined)
  t.true(said.includes('The stored orders cannot be read: no route'))
})

test('a load run – a mistake in the preparation ends it at once', async (t) => {
  const { run, effects } = stage({ stored: [] })
  let calls = 0
  effects.prepareSale = () => {
    calls += 1
    return Promise.reject(new StaffError('answered 403', 403))
  }
  await t.throwsAsync(runLoad(run, effects), { instanceOf: StaffError })
  t.is(calls, 1)
})
