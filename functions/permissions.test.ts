/** Walks every route of the collection, hot ones included, with callers that must be refused (SEC1). */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { serve } from '@stampede/shared/function/serve.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { walkPermissions } from '@stampede/shared/testing/permission-matrix.ts'
import { freshDatabase, serviceAddresses } from '@stampede/shared/testing/services.ts'
import { functions } from './index.ts'

test('permissions – no route lets in who may not', async (t) => {
  const identity = await createTestIdentity()
  const database = await freshDatabase()
  t.teardown(() => database.drop())
  const { redisUrl, kafkaBrokers } = serviceAddresses()
  // Refusals come before anything is asked of others, so nobody has to be at these addresses.
  const nobody = 'http://127.0.0.1:9'
  const { url, stop } = await serve(functions, {
    port: 0,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      LOG_LEVEL: 'silent',
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      KAFKA_BROKERS: kafkaBrokers.join(','),
      K_SINK: nobody,
      PASS_KEYS: `test:${randomBytes(32).toString('base64')}`,
      ORDER_URL: nobody,
      INVENTORY_URL: nobody,
      ACTIVITY_URL: nobody,
      SECKILL_URL: nobody,
      PERMISSION_URL: nobody,
    },
  })
  t.teardown(stop)
  const { checked, findings } = await walkPermissions({ url, definitions: functions, identity })
  t.deepEqual(findings, [])
  const guarded = functions.flatMap(({ routes }) => routes).filter(({ options }) => options.auth !== 'public')
  t.true(guarded.length > 0 && checked >= guarded.length * 12, `${checked} refusals for ${guarded.length} routes`)
})
