/** What a function leaves behind when it goes to sleep; real MySQL, a Redis of its own. */
import test, { type ExecutionContext } from 'ava'
import { z } from 'zod'
import { activityOpened } from '@stampede/eventing/catalogue/events.ts'
import { alarmsSet } from '../testing/alarms.ts'
import { startEventSink } from '../testing/events.ts'
import { freshDatabase, startRedis } from '../testing/services.ts'
import { defineFunction, every } from './declaration.ts'
import { connectEventDatabase, type EventDatabase } from './event-database.ts'
import { environment } from './serve-client.fixture.ts'
import { serve } from './serve.ts'

const redis = await startRedis()
const database = await freshDatabase()
test.after.always(async () => {
  await redis.stop()
  await database.drop()
})

const outboxOf = (name: string) => `CREATE TABLE IF NOT EXISTS ${name}_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;`

async function started(t: ExecutionContext, name: string, sink: string) {
  let events: EventDatabase | undefined
  const definition = defineFunction({
    name,
    summary: 'Tells of its changes.',
    config: z.object({ DATABASE_URL: z.string(), K_SINK: z.string(), SERVICE_SECRET: z.string() }),
    connect: (config, host) => {
      const migrations = [{ name: '0001-outbox', sql: outboxOf(name) }]
      return (events = connectEventDatabase(config, host, migrations, Date.now))
    },
    routes: [],
    schedules: [every('sweep', '5 * * * *', async () => {}, { alarm: true })],
    stop: (own) => own.stop(),
  })
  const serving = await serve([definition], {
    port: 0,
    host: '127.0.0.1',
    environment: { ...environment, REDIS_URL: redis.url, DATABASE_URL: database.url, K_SINK: sink },
  })
  t.teardown(serving.stop)
  const say = () =>
    events!.change('acme', 'test', async ({ tx, outbox, alarm }) => {
      await alarm('sweep', 9_000_000_000_000)
      const data = { tenantId: 'acme', activityId: 'phone', at: new Date().toISOString() }
      await outbox.add(tx, [{ definition: activityOpened, subject: 'phone', data }])
    })
  return { say, stop: serving.stop }
}

test('event database – what the broker did not take before the function slept wakes it up again', async (t) => {
  const { say, stop } = await started(t, 'unheard', 'http://127.0.0.1:9')
  await say()
  const beforeMs = Date.now()
  await stop()
  const [wakeMs, ...more] = await alarmsSet('unheard/wake', redis.url)
  t.deepEqual(more, [])
  t.true(wakeMs! > beforeMs && wakeMs! < Date.now() + 30_000)
  t.deepEqual(await alarmsSet('unheard/sweep', redis.url), [9_000_000_000_000], 'a change sets alarms of its own')
})

test('event database – a function that has said everything sleeps', async (t) => {
  const sink = await startEventSink()
  t.teardown(() => sink.stop())
  const { say, stop } = await started(t, 'heard', sink.url)
  await say()
  await sink.waitFor(activityOpened.type)
  await stop()
  t.deepEqual(await alarmsSet('heard/wake', redis.url), [])
})
