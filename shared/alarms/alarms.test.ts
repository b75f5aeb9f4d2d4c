import test from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { serviceAddresses, startRedis } from '../testing/services.ts'
import { alarmOf, readAlarm } from './alarm.ts'
import { createAlarms, type AlarmsOptions } from './alarms.ts'
import { earliest, gridAfter, gridFrom } from './grid.ts'
import { startOwnAlarms, type OwnAlarms } from './testing.ts'

const setterOf = ({ keys }: OwnAlarms, options: Partial<AlarmsOptions> = {}, url = serviceAddresses().redisUrl) =>
  createAlarms({
    redis: connectRedis(url, { queueWhileDisconnected: false, commandTimeoutMs: 1_000, connectTimeoutMs: 1_000 }),
    keys,
    retryMs: 20,
    ...options,
  })

async function until(look: () => Promise<boolean>): Promise<void> {
  const limitMs = performance.now() + 10_000
  while (!(await look())) {
    if (performance.now() > limitMs) throw new Error('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('alarm – a moment of a task is one alarm, never before it and less than a second after it', (t) => {
  t.deepEqual(alarmOf('order/cancel-overdue', 1_500), { alarm: 'order/cancel-overdue@2000', dueAtMs: 2_000 })
  t.deepEqual(alarmOf('order/cancel-overdue', 2_000), { alarm: 'order/cancel-overdue@2000', dueAtMs: 2_000 })
  t.is(alarmOf('order/cancel-overdue', -5).dueAtMs, 0)
  t.deepEqual(readAlarm('order/cancel-overdue@2000'), {
    functionName: 'order',
    task: 'cancel-overdue',
    dueAtMs: 2_000,
  })
  t.deepEqual(readAlarm('order/sweep'), { functionName: 'order', task: 'sweep', dueAtMs: undefined })
  for (const no of ['', 'order', 'order/', '/sweep', 'order/sweep@', 'order/sweep@x', 'order/sweep@1 ', 'Order/sweep'])
    t.is(readAlarm(no), undefined, no)
})

test('grid – many who say "again in a minute" mean the same moment, and not the one that just was', (t) => {
  t.is(gridAfter(60_000, 60_000), 120_000)
  t.is(gridAfter(80_000, 60_000), 120_000)
  t.is(gridAfter(119_990, 60_000), 180_000, 'this clock is behind the one that rang')
  t.is(gridFrom(120_000, 60_000), 120_000)
  t.is(gridFrom(120_001, 60_000), 180_000)
  t.is(earliest([undefined, 5, 3, undefined]), 3)
  t.is(earliest([undefined]), undefined)
})

test('alarms – each moment stays by itself; the same again is the same', async (t) => {
  const own = startOwnAlarms(t)
  const alarms = setterOf(own)
  t.true(await alarms.set('order/sweep', 9_000_000_000_000))
  t.true(await alarms.set('order/sweep', 8_000_000_000_000))
  t.true(await alarms.set('order/sweep', 9_000_000_000_000, { again: true }))
  t.deepEqual(await own.get('due'), {
    'order/sweep@8000000000000': 8_000_000_000_000,
    'order/sweep@9000000000000': 9_000_000_000_000,
  })
  await alarms.close()
})

test('alarms – what was set a moment ago costs no call, unless it may have rung', async (t) => {
  const own = startOwnAlarms(t)
  let nowMs = 1_000_000
  const alarms = setterOf(own, { now: () => nowMs })
  const isSetAgain = async (atMs: number, options?: { again: boolean }) => {
    await own.redis.del(own.keys.due)
    t.true(await alarms.set('order/sweep', atMs, options))
    return (await own.redis.zcard(own.keys.due)) === 1
  }
  t.true(await isSetAgain(2_000_000))
  t.false(await isSetAgain(2_000_000))
  t.false(await isSetAgain(1_999_500), 'the same second')
  t.true(await isSetAgain(2_001_000))
  t.true(await isSetAgain(2_000_000, { again: true }))
  nowMs += 60_000
  t.true(await isSetAgain(2_000_000), 'Redis may have forgotten it')
  t.true(await isSetAgain(nowMs + 15_000))
  t.true(await isSetAgain(nowMs + 15_000), 'it rings soon, or has rung already')
  await alarms.close()
})

test('alarms – while Redis is away nobody waits or fails, and the alarm is set as soon as it is back', async (t) => {
  const redis = await startRedis({ appendonly: true })
  t.teardown(() => redis.stop())
  const own = startOwnAlarms(t, redis.url)
  let failures = 0
  const alarms = setterOf(own, { onFailure: () => failures++ }, redis.url)
  t.true(await alarms.set('order/first', 9_000_000_000_000))
  await redis.kill()
  t.false(await alarms.set('order/second', 9_000_000_000_000))
  t.false(await alarms.set('order/second', 9_000_000_000_000), 'still only remembered')
  t.true(failures > 0)
  await redis.restart()
  await until(async () => Object.keys(await own.get('due')).includes('order/second@9000000000000'))
  await until(() => alarms.set('order/second', 9_000_000_000_000))
  await alarms.close()
})

test('alarms – what is only remembered is tried once more at the end', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const own = startOwnAlarms(t, redis.url)
  const client = connectRedis(redis.url, { queueWhileDisconnected: false })
  const alarms = setterOf(own, { redis: client, retryMs: 60_000 }, redis.url)
  t.true(await alarms.set('order/first', 9_000_000_000_000))
  await redis.kill()
  t.false(await alarms.set('order/second', 9_000_000_000_000))
  await redis.restart()
  await until(async () => client.status === 'ready')
  await alarms.close()
  t.deepEqual(Object.keys(await own.get('due')), ['order/second@9000000000000'])
})
