import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Redis } from 'ioredis'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { checks } from './checks.ts'
import { ensureServices } from './ensure.ts'

// Own instances without Kafka, which takes long to start; the whole is what `npm test` itself runs on.
process.env['STAMPEDE_ENGINE'] = 'none'

test('services – start, survive a kill with their data, and end', async (t) => {
  const dataFolder = await mkdtemp(join(tmpdir(), 'stampede-ensure-'))
  t.teardown(() => rm(dataFolder, { recursive: true, force: true }))
  const lines: string[] = []
  const start = () =>
    ensureServices({
      purpose: 'drill',
      need: ['redis', 'mariadb'],
      dataFolder,
      given: {},
      say: (line) => lines.push(line),
    })
  const services = await start()
  const { REDIS_URL, DATABASE_URL, KAFKA_BROKERS } = services.environment
  t.is(KAFKA_BROKERS, '')
  t.true(lines.some((line) => /^Redis \d.*: ready in/.test(line)))
  t.true(lines.some((line) => /^MariaDB \d.*: ready in/.test(line)))

  const connection = await mysql.createConnection(DATABASE_URL)
  await connection.query('CREATE TABLE kept (id INT PRIMARY KEY)')
  await connection.query('INSERT INTO kept VALUES (1)')
  connection.destroy()
  const before = services.pids()
  for (const target of ['redis', 'mariadb'] as const) {
    await services.kill(target)
    await t.throwsAsync(checks[target](target === 'redis' ? REDIS_URL : DATABASE_URL))
    await services.restart(target)
    t.not(services.pids()[target], before[target])
  }
  const keptRows = async () => {
    const again = await mysql.createConnection(DATABASE_URL)
    const [rows] = await again.query<RowDataPacket[]>('SELECT id FROM kept')
    again.destroy()
    return rows.length
  }
  t.is(await keptRows(), 1)
  const redis = new Redis(REDIS_URL)
  await redis.set('kept', 'yes')
  redis.disconnect()
  await services.stop()
  await t.throwsAsync(checks.redis(REDIS_URL))
  await t.throwsAsync(checks.mariadb(DATABASE_URL))

  const second = await start()
  t.is(second.environment.REDIS_URL, REDIS_URL, 'ports are remembered')
  t.is(second.environment.DATABASE_URL, DATABASE_URL)
  t.is(await keptRows(), 1)
  const reader = new Redis(REDIS_URL)
  t.is(await reader.get('kept'), 'yes')
  reader.disconnect()
  await second.stop()
  t.true(existsSync(join(dataFolder, 'redis')))
})

test('services – two runs at once do not meet', async (t) => {
  const dataFolder = await mkdtemp(join(tmpdir(), 'stampede-ensure-'))
  t.teardown(async () => {
    await rm(dataFolder, { recursive: true, force: true })
    await rm(`${dataFolder}-2`, { recursive: true, force: true })
  })
  const start = () => ensureServices({ purpose: 'drill', need: ['redis'], dataFolder, given: {}, say: () => {} })
  const [one, other] = await Promise.all([start(), start()])
  t.not(one.environment.REDIS_URL, other.environment.REDIS_URL)
  await one.stop()
  t.regex(await checks.redis(other.environment.REDIS_URL), /^Redis/)
  await other.stop()
})
