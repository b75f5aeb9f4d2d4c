import test from 'ava'
import { infra } from './infra.ts'
import { changes, memoryCluster, testContext, type MemoryCluster } from './testing.ts'

const overlay = `
apiVersion: v1
kind: Namespace
metadata: { name: infra }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: redis, namespace: infra }
spec: { replicas: 1 }
`
const nothing = { infra: undefined, redisUrl: undefined, kafkaBrokers: undefined, databaseUrl: undefined }
const addresses = {
  REDIS_URL: 'redis://:secret@cache.example.com:6379',
  KAFKA_BROKERS: 'one.example.com:9092,two.example.com:9092',
  DATABASE_URL: 'mysql://app:secret@data.example.com:3306/stampede',
}
const start = () => memoryCluster({ 'overlays/local/infra': overlay })
const valueOf = ({ objects }: MemoryCluster, secret: string, key: string) =>
  Buffer.from(objects.get(`Secret/${secret}`)?.data?.[key] ?? '', 'base64').toString()
const ready = (cluster: MemoryCluster) =>
  cluster.answers.push([
    /get statefulsets.apps/,
    () =>
      JSON.stringify({
        items: [
          {
            apiVersion: 'apps/v1',
            kind: 'StatefulSet',
            metadata: { name: 'redis' },
            spec: { replicas: 1 },
            status: { readyReplicas: 1 },
          },
        ],
      }),
  ])

test('infra – addresses of the environment are stored and never said', async (t) => {
  const cluster = start()
  const { context, said } = testContext(cluster, { environment: addresses })
  await infra(context, nothing)
  t.is(valueOf(cluster, 'stampede-redis', 'url'), addresses.REDIS_URL)
  t.is(valueOf(cluster, 'stampede-kafka', 'brokers'), addresses.KAFKA_BROKERS)
  t.is(valueOf(cluster, 'stampede-database', 'url'), addresses.DATABASE_URL)
  t.false([...said, ...cluster.calls.flatMap(({ args }) => args)].join('\n').includes('secret@'))
  t.false(cluster.objects.has('StatefulSet/infra/redis'))
})

test('infra – stored addresses are kept when none are given', async (t) => {
  const cluster = start()
  await infra(testContext(cluster, { environment: addresses }).context, nothing)
  const { context, said } = testContext(cluster)
  await infra(context, nothing)
  t.is(valueOf(cluster, 'stampede-redis', 'url'), addresses.REDIS_URL)
  t.true(said.includes('Secret stampede-redis: kept'))
  t.false(cluster.objects.has('StatefulSet/infra/redis'))
})

test('infra – a changed address replaces the stored one and says what to do', async (t) => {
  const cluster = start()
  await infra(testContext(cluster, { environment: addresses }).context, nothing)
  const { context, said } = testContext(cluster, { environment: addresses })
  await infra(context, { ...nothing, redisUrl: 'redis://other.example.com:6379' })
  t.is(valueOf(cluster, 'stampede-redis', 'url'), 'redis://other.example.com:6379')
  t.true(said.some((line) => /keep the old values/.test(line)))
})

for (const [condition, environment, message] of [
  ['one is missing', { REDIS_URL: addresses.REDIS_URL }, /needs KAFKA_BROKERS, DATABASE_URL/],
  ['one is of another kind', { ...addresses, REDIS_URL: 'http://cache:6379' }, /REDIS_URL is not redis:/],
  ['Kafka has no port', { ...addresses, KAFKA_BROKERS: 'kafka' }, /KAFKA_BROKERS is not host:port/],
  ['the database has no name', { ...addresses, DATABASE_URL: 'mysql://a:b@c:3306' }, /DATABASE_URL is not mysql:/],
  ['one is on loopback', { ...addresses, KAFKA_BROKERS: '127.0.0.1:9092' }, /KAFKA_BROKERS names.*loopback/],
  ['the database is on localhost', { ...addresses, DATABASE_URL: 'mysql://a:b@localhost:3306/c' }, /loopback/],
] as const) {
  test(`infra – says what is wrong with addresses when ${condition}`, async (t) => {
    const error = await t.throwsAsync(infra(testContext(start(), { environment }).context, nothing), { message })
    t.false(error.message.includes('secret'))
  })
}

test('infra – in the cluster: passwords are made once and are in the addresses', async (t) => {
  const cluster = start()
  ready(cluster)
  await infra(testContext(cluster).context, { ...nothing, infra: 'statefulsets' })
  t.deepEqual(
    [...cluster.objects.keys()],
    [
      'Namespace/infra',
      'Secret/infra/redis',
      'Secret/infra/mariadb',
      'Secret/stampede-redis',
      'Secret/stampede-kafka',
      'Secret/stampede-database',
      'StatefulSet/infra/redis',
    ],
  )
  const url = valueOf(cluster, 'stampede-redis', 'url')
  t.is(url, `redis://:${valueOf(cluster, 'infra/redis', 'password')}@redis.infra.svc.cluster.local:6379`)
  await infra(testContext(cluster).context, nothing)
  t.is(valueOf(cluster, 'stampede-redis', 'url'), url)
})

test('infra – what does not become ready is explained with the next command', async (t) => {
  const cluster = start()
  await t.throwsAsync(infra(testContext(cluster).context, { ...nothing, infra: 'statefulsets' }), {
    message: /redis \(statefulsets\.apps\) is not ready: it does not exist[\s\S]*persistentvolumeclaims/,
  })
})

test('infra – a dry run stores nothing', async (t) => {
  const cluster = start()
  await infra(testContext(cluster, { environment: addresses, dryRun: true }).context, nothing)
  await infra(testContext(cluster, { dryRun: true }).context, { ...nothing, infra: 'statefulsets' })
  t.deepEqual(changes(cluster), [])
})
