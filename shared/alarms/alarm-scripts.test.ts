/** The scripts of alarms on a real Redis: what each returns, called again, and by many at once. */
import test from 'ava'
import { endAlarms, recallAlarms, takeAlarms } from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { startOwnAlarms, type OwnAlarms } from './testing.ts'

const leaseMs = 60_000

const take = async ({ redis, keys }: OwnAlarms, limit = 100, lease = leaseMs) => {
  const reply = await runScript(redis, takeAlarms, [keys.due, keys.ringing, keys.run, limit, lease])
  const [isKnown, until, ...alarms] = reply as [number, string, ...string[]]
  return { isKnown, until, alarms }
}
const end = ({ redis, keys }: OwnAlarms, until: string | number, ...alarms: string[]) =>
  runScript(redis, endAlarms, [keys.ringing, until, alarms.join(' ')])
const recall = ({ redis, keys }: OwnAlarms, tasks: string, pauseMs = 1_000) =>
  runScript(redis, recallAlarms, [keys.due, keys.run, tasks, pauseMs])

test('take-alarms – takes what is due, the earliest first, at most the limit; nothing that is not due', async (t) => {
  const own = startOwnAlarms(t)
  const nowMs = await own.redisNowMs()
  await own.put('due', {
    'a/second': nowMs - 1_000,
    'a/first': nowMs - 2_000,
    'a/third': nowMs,
    'a/later': nowMs + 60_000,
  })
  t.deepEqual((await take(own, 2)).alarms, ['a/first', 'a/second'])
  t.deepEqual((await take(own, 2)).alarms, ['a/third'])
  t.deepEqual((await take(own)).alarms, [])
  t.deepEqual(Object.keys(await own.get('due')), ['a/later'])
  t.deepEqual(Object.keys(await own.get('ringing')).toSorted(), ['a/first', 'a/second', 'a/third'])
})

test('take-alarms – of many at once each alarm is one’s', async (t) => {
  const own = startOwnAlarms(t)
  const all = Array.from({ length: 100 }, (_, index) => `a/task@${index}`)
  await own.put('due', Object.fromEntries(all.map((alarm) => [alarm, 1])))
  const taken = await Promise.all(Array.from({ length: 40 }, () => take(own, 5)))
  t.deepEqual(taken.flatMap(({ alarms }) => alarms).toSorted(), all.toSorted())
  t.is(await own.redis.zcard(own.keys.due), 0)
  t.is(await own.redis.zcard(own.keys.ringing), 100)
})

test('take-alarms – a lease that has ended is anybody’s, and comes before what is due', async (t) => {
  const own = startOwnAlarms(t)
  const nowMs = await own.redisNowMs()
  await own.put('ringing', { 'a/given-up': nowMs - 1, 'a/held': nowMs + leaseMs })
  await own.put('due', { 'a/due': nowMs - 5_000 })
  t.deepEqual((await take(own, 1)).alarms, ['a/given-up'])
  t.deepEqual((await take(own)).alarms, ['a/due'])
  t.deepEqual((await take(own)).alarms, [])
})

test('take-alarms – says whether this Redis is known to have all alarms', async (t) => {
  const own = startOwnAlarms(t)
  t.is((await take(own)).isKnown, 0)
  await recall(own, '')
  t.is((await take(own)).isKnown, 1)
  await own.redis.set(own.keys.run, 'another process')
  t.is((await take(own)).isKnown, 0)
})

test('end-alarms – forgets what has rung, once', async (t) => {
  const own = startOwnAlarms(t)
  await own.put('due', { 'a/one': 1, 'a/two': 1 })
  const { until } = await take(own)
  t.is(await end(own, until, 'a/one', 'a/two', 'a/three'), 2)
  t.is(await end(own, until, 'a/one', 'a/two'), 0)
  t.deepEqual(await own.get('ringing'), {})
  t.is(await end(own, until), 0)
})

test('end-alarms – what somebody else took meanwhile is theirs, and what was set again stays', async (t) => {
  const own = startOwnAlarms(t)
  await own.put('due', { 'a/one': 1 })
  const slow = await take(own, 1, 1)
  // The lease was short: it ends before the next call.
  while ((await own.redisNowMs()) <= Number(slow.until)) await own.redis.ping()
  const next = await take(own)
  t.deepEqual(next.alarms, ['a/one'])
  await own.put('due', { 'a/one': 5 })
  t.is(await end(own, slow.until, 'a/one'), 0)
  t.is(await end(own, next.until, 'a/one'), 1)
  t.deepEqual(await own.get('due'), { 'a/one': 5 })
  t.deepEqual((await take(own)).alarms, ['a/one'])
})

test('recall-alarms – every task rings, one function after the other; only once for a Redis process', async (t) => {
  const own = startOwnAlarms(t)
  const beforeMs = await own.redisNowMs()
  t.is(await recall(own, 'a/one a/two\nb/one', 10_000), 1)
  const due = await own.get('due')
  t.deepEqual(Object.keys(due).toSorted(), ['a/one', 'a/two', 'b/one'])
  t.is(due['a/one'], due['a/two'])
  t.is(due['b/one'], due['a/one']! + 10_000)
  t.true(due['a/one']! >= beforeMs)
  t.is(await recall(own, 'a/three'), 0)
  t.deepEqual(await own.get('due'), due)
})

test('recall-alarms – of many at once one does it', async (t) => {
  const own = startOwnAlarms(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => recall(own, 'a/one')))
  t.is(answers.filter((answer) => answer === 1).length, 1)
})
