import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { silentLog } from './log.ts'
import { PingLeader } from './ping-leader.ts'
import type { PingPlan } from './plan.ts'
import { connectTestKafka, until } from './testing.ts'

const clients = await connectTestKafka()
test.after.always(clients.close)

const start = Date.UTC(2026, 0, 2, 3, 0)
const minute = (number: number) => new Date(start + number * 60_000).toISOString().slice(11, 16)

const plan = (name: string, cron: string, offsetMs = 0): PingPlan => ({
  name,
  source: '/test',
  cron,
  timezone: 'UTC',
  offsetMs,
  contentType: undefined,
  data: undefined,
  sink: { kind: 'http', name: 'nobody', url: () => '' },
})

/** Engines of one group with one clock, which the test moves. */
async function setUp(t: ExecutionContext, plans = [plan('each', '* * * * *'), plan('second', '*/2 * * * *')]) {
  const group = `engine-test-pings-${randomBytes(6).toString('hex')}`
  await ensureTopics(clients.kafka, [{ topic: group, partitions: 1 }])
  clients.topics.push(group)
  const clock = { minutes: 0, seconds: 30 }
  const sent: string[] = []
  /** @param settles does the delivery of this ping come to its end? */
  const engine = (name: string, settles = (_ping: string): boolean | Promise<boolean> => true) => {
    const pings = plans.map((one) => ({
      plan: one,
      deliver: async ({ attributes }: { attributes: Record<string, string> }) => {
        sent.push(`${one.name} ${attributes['time']!.slice(11, 16)} by ${name}`)
        return settles(one.name)
      },
    }))
    const leader = new PingLeader({
      kafka: clients.kafka,
      admin: clients.admin,
      group,
      pings,
      log: silentLog,
      sessionTimeoutMs: 6_000,
      now: () => start + (clock.minutes * 60 + clock.seconds) * 1_000,
      pollMs: 20,
    })
    t.teardown(() => leader.stop(0))
    leader.start()
    return leader
  }
  const recorded = async () => {
    const [found] = await clients.admin.fetchOffsets({ groupId: group, topics: [group] })
    return found!.partitions[0]!.metadata
  }
  return { clock, sent, engine, recorded }
}

test('pings – of two engines one sends each ping of each minute, once', async (t) => {
  const { clock, sent, engine } = await setUp(t)
  const a = engine('x')
  const b = engine('x')
  await until(() => a.leads || b.leads)
  // The second to come makes the group form anew; from then on it stays as it is.
  await sleep(1_500)
  await until(() => a.leads !== b.leads)
  clock.minutes = 1
  await until(() => sent.length >= 1)
  clock.minutes = 2
  await until(() => sent.length >= 3)
  await sleep(300)
  t.deepEqual(sent.toSorted(), [`each ${minute(1)} by x`, `each ${minute(2)} by x`, `second ${minute(2)} by x`])
})

test('pings – the next leader sends what was due while there was none, and nothing again', async (t) => {
  const { clock, sent, engine, recorded } = await setUp(t)
  const first = engine('first')
  await until(() => first.leads)
  clock.minutes = 1
  await until(async () => (await recorded()) === new Date(start + 60_000).toISOString())
  await first.stop(1_000)
  t.false(first.leads)
  clock.minutes = 3
  const second = engine('second')
  await until(() => second.leads && sent.length >= 4)
  await sleep(200)
  t.deepEqual(sent.toSorted(), [
    `each ${minute(1)} by first`,
    `each ${minute(2)} by second`,
    `each ${minute(3)} by second`,
    `second ${minute(2)} by second`,
  ])
})

test('pings – a leader that comes after a long time does not send all of it', async (t) => {
  const { clock, sent, engine, recorded } = await setUp(t)
  const first = engine('first')
  await until(() => first.leads)
  clock.minutes = 1
  await until(async () => (await recorded()) === new Date(start + 60_000).toISOString())
  await first.stop(1_000)
  sent.length = 0
  clock.minutes = 600
  const second = engine('second')
  await until(() => second.leads && sent.length > 0)
  await sleep(200)
  t.deepEqual(
    sent.filter((one) => one.startsWith('each')).toSorted(),
    [596, 597, 598, 599, 600].map((at) => `each ${minute(at)} by second`),
  )
})

test('pings – what the end of an engine cut off is sent again by the next one', async (t) => {
  const { clock, sent, engine } = await setUp(t)
  const first = engine('first', () => false)
  await until(() => first.leads)
  clock.minutes = 1
  await until(() => sent.length === 1)
  await first.stop(1_000)
  const second = engine('second')
  await until(() => second.leads)
  clock.minutes = 2
  await until(() => sent.length >= 4)
  t.deepEqual(sent.toSorted(), [
    `each ${minute(1)} by first`,
    `each ${minute(1)} by second`,
    `each ${minute(2)} by second`,
    `second ${minute(2)} by second`,
  ])
})

test('pings – each at its second; one that does not end holds up no other, and what follows it is not taken for sent', async (t) => {
  const { clock, sent, engine, recorded } = await setUp(t, [
    plan('punctual', '* * * * *'),
    plan('late', '* * * * *', 40_000),
  ])
  const never = Promise.withResolvers<boolean>()
  const first = engine('first', (ping) => ping === 'late' || never.promise)
  await until(() => first.leads)
  const before = await recorded()
  clock.minutes = 1
  clock.seconds = 5
  await until(() => sent.length === 2)
  t.deepEqual(sent, [`late ${minute(0)} by first`, `punctual ${minute(1)} by first`])
  clock.seconds = 45
  await until(() => sent.length === 3)
  t.is(sent[2], `late ${minute(1)} by first`)
  t.is(await recorded(), before)
  never.resolve(false)
  await first.stop(1_000)
  t.is(await recorded(), before)
  sent.length = 0
  engine('second')
  await until(() => sent.length >= 3)
  t.deepEqual(sent.toSorted(), [
    `late ${minute(0)} by second`,
    `late ${minute(1)} by second`,
    `punctual ${minute(1)} by second`,
  ])
})
