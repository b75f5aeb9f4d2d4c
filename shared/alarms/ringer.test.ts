import test, { type ExecutionContext } from 'ava'
import { Registry } from 'prom-client'
import type { CloudEvent } from '../events/cloud-event.ts'
import { connectRedis } from '../redis/connect.ts'
import { serviceAddresses, startRedis } from '../testing/services.ts'
import { createRinger, type RingerOptions } from './ringer.ts'
import { startOwnAlarms, type OwnAlarms } from './testing.ts'

const quiet = { info: () => {}, warn: () => {}, error: () => {} }

function ringerOf(
  t: ExecutionContext,
  own: OwnAlarms,
  options: Partial<RingerOptions> = {},
  url = serviceAddresses().redisUrl,
) {
  const rung: CloudEvent[] = []
  const metrics = new Registry()
  const ringer = createRinger({
    redis: connectRedis(url),
    publish: async (event) => void rung.push(event),
    tasks: [],
    log: quiet,
    metrics,
    draining: new AbortController().signal,
    keys: own.keys,
    ...options,
  })
  t.teardown(() => ringer.stop())
  return { ringer, rung, metrics, tasksRung: () => rung.map(({ data }) => data as { function: string; task: string }) }
}

async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const limitMs = performance.now() + 10_000
  while (!(await look())) {
    if (performance.now() > limitMs) throw new Error('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('ringer – what is due becomes one event for each task, and is forgotten', async (t) => {
  const own = startOwnAlarms(t)
  const { ringer, rung } = ringerOf(t, own)
  await own.put('due', {
    'order/sweep@2000': 2_000,
    'order/sweep@1000': 1_000,
    'user/erase-due@3000': 3_000,
    'order/sweep@9000000000000': 9_000_000_000_000,
  })
  t.is(await ringer.ring(), 3)
  t.is(rung.length, 2)
  const event = rung.find(({ subject }) => subject === 'order')!
  t.like(event, {
    type: 'io.stampede.alarm.due.v1',
    source: '/functions/seckill',
    subject: 'order',
    partitionkey: 'order/sweep',
    id: 'order/sweep@1000',
    data: { function: 'order', task: 'sweep', dueAt: '1970-01-01T00:00:01.000Z' },
  })
  t.deepEqual(await own.get('ringing'), {})
  t.deepEqual(Object.keys(await own.get('due')), ['order/sweep@9000000000000'])
  t.is(await ringer.ring(), 0)
})

test('ringer – many processes ring each alarm once', async (t) => {
  const own = startOwnAlarms(t)
  const ringers = Array.from({ length: 5 }, () => ringerOf(t, own, { limit: 3 }))
  const all = Array.from({ length: 40 }, (_, index) => `a/task-${index}@1000`)
  await own.put('due', Object.fromEntries(all.map((alarm) => [alarm, 1_000])))
  const ringAll = async ({ ringer }: (typeof ringers)[number]): Promise<void> => {
    while ((await ringer.ring()) > 0);
  }
  await Promise.all(ringers.map(ringAll))
  const tasks = ringers.flatMap(({ tasksRung }) =>
    tasksRung().map(({ function: name, task }) => `${name}/${task}@1000`),
  )
  t.deepEqual(tasks.toSorted(), all.toSorted())
})

test('ringer – a process that dies between taking and publishing: the alarm rings when its lease has ended', async (t) => {
  const own = startOwnAlarms(t)
  await own.put('due', { 'order/sweep@1000': 1_000 })
  const dying = ringerOf(t, own, { leaseMs: 300, publish: () => new Promise(() => {}) })
  void dying.ringer.ring()
  await until(async () => Object.keys(await own.get('ringing')).length === 1)
  const next = ringerOf(t, own)
  await until(async () => (await next.ringer.ring()) > 0)
  t.deepEqual(next.tasksRung(), [{ function: 'order', task: 'sweep', dueAt: '1970-01-01T00:00:01.000Z' } as never])
  t.deepEqual(await own.get('ringing'), {})
})

test('ringer – one that dies after publishing, before it says so: the alarm rings twice, never less', async (t) => {
  const redis = await startRedis({ appendonly: true })
  t.teardown(() => redis.stop())
  const own = startOwnAlarms(t, redis.url)
  await own.put('due', { 'order/sweep@1000': 1_000 })
  const dying = ringerOf(
    t,
    own,
    {
      leaseMs: 300,
      // Redis is gone when the event is there.
      publish: async () => redis.kill(),
      redis: connectRedis(redis.url, { queueWhileDisconnected: false, commandTimeoutMs: 500 }),
    },
    redis.url,
  )
  await t.throwsAsync(dying.ringer.ring())
  await redis.restart()
  const next = ringerOf(t, own, {}, redis.url)
  await until(async () => (await next.ringer.ring()) > 0)
  t.is(next.rung.length, 1)
})

test('ringer – what the broker does not take rings again, and holds up no other', async (t) => {
  const own = startOwnAlarms(t)
  let refused = 0
  const rung: string[] = []
  const { ringer } = ringerOf(t, own, {
    publish: async ({ subject }) => {
      if (subject === 'order' && refused++ < 1) throw new Error('not now')
      rung.push(subject!)
    },
  })
  await own.put('due', { 'order/sweep@1000': 1_000, 'user/sweep@1000': 1_000 })
  await t.throwsAsync(ringer.ring(), { message: 'not now' })
  t.deepEqual(rung, ['user'])
  t.deepEqual(await own.get('ringing'), {})
  const { 'order/sweep@1000': againMs } = await own.get('due')
  t.true(againMs! > 1_000, 'a little later')
  await own.put('due', { 'order/sweep@1000': 1_000 })
  t.is(await ringer.ring(), 1)
  t.deepEqual(rung, ['user', 'order'])
})

test('ringer – an alarm that was set while it rang rings again', async (t) => {
  const own = startOwnAlarms(t)
  const { ringer, rung } = ringerOf(t, own, {
    publish: async (event) => {
      if (rung.push(event) === 1) await own.put('due', { 'order/sweep@1000': 1_000 })
    },
  })
  await own.put('due', { 'order/sweep@1000': 1_000 })
  await ringer.ring()
  t.is(await ringer.ring(), 1)
  t.is(rung.length, 2)
})

test('ringer – a Redis that it does not know: every task rings, once', async (t) => {
  const own = startOwnAlarms(t)
  const { ringer, tasksRung } = ringerOf(t, own, {
    tasks: [['tenant/write-directory'], ['order/sweep', 'order/count']],
  })
  await ringer.ring()
  await until(async () => {
    await ringer.ring()
    return tasksRung().length >= 3
  })
  t.deepEqual(
    tasksRung()
      .map(({ function: name, task }) => `${name}/${task}`)
      .toSorted(),
    ['order/count', 'order/sweep', 'tenant/write-directory'],
  )
  t.is(await own.redis.zcard(own.keys.due), 0)
  t.is(await ringer.ring(), 0)
})

test('ringer – what is no alarm is told of and taken away', async (t) => {
  const own = startOwnAlarms(t)
  const errors: unknown[] = []
  const { ringer, rung } = ringerOf(t, own, { log: { ...quiet, error: (...told: unknown[]) => errors.push(told) } })
  await own.put('due', { nonsense: 1 })
  await ringer.ring()
  t.is(errors.length, 1)
  t.is(rung.length, 0)
  t.deepEqual(await own.get('ringing'), {})
})

test('ringer – its loop rings, tells of a failure once, goes on when it is over, and ends with the draining', async (t) => {
  const own = startOwnAlarms(t)
  const draining = new AbortController()
  const told: string[] = []
  let works = false
  const { ringer, metrics } = ringerOf(t, own, {
    draining: draining.signal,
    everyMs: 10,
    publish: async () => {
      if (!works) throw new Error('not now')
    },
    log: {
      ...quiet,
      error: (_: unknown, message: string) => told.push(message),
      info: (message: string) => told.push(message),
    } as never,
  })
  const failures = async () =>
    (await metrics.getMetricsAsJSON()).find(({ name }) => name === 'alarm_failures_total')!.values[0]?.value ?? 0
  await own.put('due', { 'a/one@1': 1, 'a/two@1': 1 })
  ringer.start()
  ringer.start()
  await until(async () => (await failures()) >= 1)
  await own.put('due', { 'a/one@1': 1 })
  await until(async () => (await failures()) >= 2)
  works = true
  await until(async () => {
    await own.put('due', { 'a/one@1': 1, 'a/two@1': 1 })
    return told.includes('alarms ring again')
  })
  t.is(told.filter((message) => message === 'alarms cannot ring; it is tried again').length, 1)
  draining.abort()
  await ringer.stop()
  await own.put('due', { 'a/three@1': 1 })
  t.is((await own.get('due'))['a/three@1'], 1)
})
