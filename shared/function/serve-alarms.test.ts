/** Alarms as the broker delivers them, on a real server; and those that functions set, in a Redis of their own. */
import test, { type ExecutionContext } from 'ava'
import { z } from 'zod'
import { alarmDue } from '@stampede/eventing/catalogue/alarm-events.ts'
import { alarmKeys } from '../alarms/alarm.ts'
import { connectRedis } from '../redis/connect.ts'
import { deliver, ping } from '../testing/events.ts'
import { startRedis } from '../testing/services.ts'
import { defineFunction, every, type HostServices } from './declaration.ts'
import { identity, environment } from './serve-client.fixture.ts'
import { serve } from './serve.ts'

type Probe = { runs: string[]; host: HostServices; sweep: () => Promise<number | void> }

const redis = await startRedis()
const client = connectRedis(redis.url)
test.after.always(async () => {
  client.disconnect()
  await redis.stop()
})

/** A function called `name`, which must be the test's own: all share one Redis. */
async function started(t: ExecutionContext, name: string) {
  const probe: Probe = { runs: [], host: undefined as never, sweep: async () => {} }
  const definition = defineFunction({
    name,
    summary: 'Has alarms.',
    config: z.object({}),
    connect: (_config, host) => {
      probe.host = host
      return probe
    },
    routes: [],
    schedules: [
      every(
        'sweep',
        '5 * * * *',
        async (own: Probe) => {
          own.runs.push('sweep')
          return own.sweep()
        },
        { alarm: true },
      ),
      every('prune', '5 3 * * *', async (own: Probe) => void own.runs.push('prune')),
    ],
  })
  const options = { port: 0, host: '127.0.0.1', environment: { ...environment, REDIS_URL: redis.url } }
  const serving = await serve([definition], options)
  t.teardown(serving.stop)
  const server = { url: serving.url, identity }
  const ring = (task: string, subject = name) =>
    deliver(server, name, {
      definition: alarmDue,
      subject,
      data: { function: subject, task, dueAt: new Date().toISOString() },
    })
  const alarms = async () => {
    const found = await client.zrange(alarmKeys.due, '0', '-1', 'WITHSCORES')
    return found.flatMap((alarm, index) =>
      alarm.startsWith(`${name}/`) ? [{ alarm, atMs: Number(found[index + 1]) }] : [],
    )
  }
  return { probe, ring, alarms, stop: serving.stop, ping: (task: string) => ping(server, name, task) }
}

test('alarm – runs its task; an unknown one, or one without alarms, is refused for good', async (t) => {
  const { probe, ring, ping: tick, alarms } = await started(t, 'runs')
  t.is(await ring('sweep'), 204)
  t.is(await tick('sweep'), 204)
  t.deepEqual(probe.runs, ['sweep', 'sweep'])
  t.is(await ring('prune'), 400)
  t.is(await ring('nothing'), 400)
  t.is(await ring('sweep', 'somebody-else'), 400)
  t.is(await ring('wake'), 204, 'it is awake')
  t.is(await tick('wake'), 400)
  t.deepEqual(probe.runs, ['sweep', 'sweep'])
  t.deepEqual(await alarms(), [])
})

test('alarm – a run says when the next one is, whoever started it', async (t) => {
  const { probe, ring, ping: tick, alarms } = await started(t, 'next')
  probe.sweep = async () => 9_000_000_000_000
  t.is(await ring('sweep'), 204)
  const expected = [{ alarm: 'next/sweep@9000000000000', atMs: 9_000_000_000_000 }]
  t.deepEqual(await alarms(), expected)
  await client.zrem(alarmKeys.due, 'next/sweep@9000000000000')
  t.is(await tick('sweep'), 204)
  t.deepEqual(await alarms(), expected, 'also when Redis has forgotten it')
})

test('alarm – a run that fails is tried again by an alarm, not by the broker; a ping that fails by both', async (t) => {
  const { probe, ring, ping: tick, alarms } = await started(t, 'fails')
  probe.sweep = async () => {
    throw new Error('not now')
  }
  const beforeMs = Date.now()
  t.is(await ring('sweep'), 204)
  const [again, ...more] = await alarms()
  t.is(more.length, 0)
  t.true(again!.atMs > beforeMs && again!.atMs <= Date.now() + 30_000)
  t.is(await tick('sweep'), 503)
})

test('alarm – one that rings while its task runs is not lost: one more round follows for all of them', async (t) => {
  const { probe, ring } = await started(t, 'again')
  const gate = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  probe.sweep = async () => {
    begun.resolve()
    await gate.promise
  }
  const first = ring('sweep')
  await begun.promise
  const others = [ring('sweep'), ring('sweep'), ring('sweep')]
  // What comes later is answered: those wait at the host by now, or come later still, and then they share a round all the same.
  t.is(await ring('wake'), 204)
  t.deepEqual(probe.runs, ['sweep'])
  gate.resolve()
  t.deepEqual(await Promise.all([first, ...others]), [204, 204, 204, 204])
  t.true(probe.runs.length >= 2, 'none of them was dropped')
  const before = probe.runs.length
  t.is(await ring('sweep'), 204)
  t.is(probe.runs.length, before + 1)
})

test('alarms – a function sets its own; before a commit not sooner than that may take', async (t) => {
  const { probe, alarms } = await started(t, 'sets')
  await probe.host.alarms.set('sweep', 9_000_000_000_000)
  t.deepEqual(await alarms(), [{ alarm: 'sets/sweep@9000000000000', atMs: 9_000_000_000_000 }])
  await probe.host.alarms.beforeCommit('sweep', 9_000_000_000_000)
  t.is((await alarms()).length, 1)
  const nowMs = Date.now()
  await probe.host.alarms.beforeCommit('sweep', nowMs)
  const [soon] = await alarms()
  t.true(soon!.atMs >= nowMs + 5_000 && soon!.atMs <= Date.now() + 10_000)
})

test('alarms – a function that has some does not start without Redis', async (t) => {
  const definition = defineFunction({
    name: 'alone',
    summary: 'Has alarms.',
    config: z.object({}),
    connect: () => ({}),
    routes: [],
    schedules: [every('sweep', '5 * * * *', async () => {}, { alarm: true })],
  })
  await t.throwsAsync(serve([definition], { port: 0, environment }), { message: /REDIS_URL is not set .*alarms/ })
})
