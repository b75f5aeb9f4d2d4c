import test from 'ava'
import { DeployError } from './context.ts'
import { init } from './init.ts'
import { changes, failure, memoryCluster, secretOf, testContext } from './testing.ts'

const overlay = `
apiVersion: v1
kind: ConfigMap
metadata: { name: stampede, namespace: stampede }
data: { log-level: info, durability: redis }
---
apiVersion: v1
kind: Namespace
metadata: { name: stampede }
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: { name: order, namespace: stampede }
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: { name: functions, namespace: stampede }
`
const start = () => memoryCluster({ 'overlays/local': overlay, 'overlays/production': overlay })

test('init – makes the namespace first, the settings and the keys, and labels all', async (t) => {
  const cluster = start()
  const { context } = testContext(cluster)
  await init(context, { settings: [] })
  t.deepEqual(
    [...cluster.objects.keys()],
    [
      'Namespace/stampede',
      'ConfigMap/stampede',
      'Secret/stampede-data-keys',
      'Secret/stampede-signing',
      'Secret/stampede-identity',
    ],
  )
  for (const { metadata } of cluster.objects.values()) t.is(metadata.labels?.['stampede.io/stage'], 'init')
  const identity = secretOf(cluster, 'stampede-identity')
  t.deepEqual(Object.keys(identity).sort(), [
    'audience',
    'captcha-secret',
    'issuer',
    'jwks',
    'jwks-url',
    'pass-keys',
    'service-secret',
  ])
  t.is(identity['jwks-url'], 'http://auth.stampede.svc.cluster.local/.well-known/jwks.json')
  t.is(identity['captcha-secret'], '')
  t.true((identity['service-secret'] ?? '').length >= 32)
  t.false((identity['jwks'] ?? '').includes('"d"'), 'the private half stays out of the public set')
  t.true(secretOf(cluster, 'stampede-signing')['private-jwk']?.includes('"d"'))
})

test('init – secrets are neither said nor in arguments', async (t) => {
  const cluster = start()
  const { context, said } = testContext(cluster)
  await init(context, { settings: [] })
  const seen = [...said, ...cluster.calls.flatMap(({ args }) => args)].join('\n')
  for (const name of ['stampede-identity', 'stampede-signing', 'stampede-data-keys'])
    for (const [key, value] of Object.entries(secretOf(cluster, name)))
      if (key !== 'issuer' && key !== 'audience' && value !== '') {
        t.false(seen.includes(value), key)
        t.false(seen.includes(Buffer.from(value).toString('base64')), key)
      }
})

test('init – repeated keeps the keys; a key that was lost is made again', async (t) => {
  const cluster = start()
  await init(testContext(cluster).context, { settings: [] })
  const before = secretOf(cluster, 'stampede-identity')
  await init(testContext(cluster).context, { settings: [] })
  t.deepEqual(secretOf(cluster, 'stampede-identity'), before)

  delete cluster.objects.get('Secret/stampede-identity')?.data?.['pass-keys']
  await init(testContext(cluster).context, { settings: [] })
  const { 'pass-keys': passKeys, ...rest } = secretOf(cluster, 'stampede-identity')
  t.regex(passKeys ?? '', /^\w+:[A-Za-z0-9+/=]+$/)
  const { 'pass-keys': _lost, ...kept } = before
  t.deepEqual(rest, kept)
})

test('init – keys of the environment win, and no signing key is made', async (t) => {
  const cluster = start()
  const environment = {
    AUTH_JWKS_URL: 'https://login.example.com/keys',
    AUTH_ISSUER: 'https://login.example.com',
    AUTH_AUDIENCE: 'shop',
    CAPTCHA_SECRET: 'of-the-provider',
  }
  await init(testContext(cluster, { overlay: 'local', environment }).context, { settings: [] })
  t.like(secretOf(cluster, 'stampede-identity'), {
    'jwks-url': 'https://login.example.com/keys',
    issuer: 'https://login.example.com',
    audience: 'shop',
    'captcha-secret': 'of-the-provider',
  })
  t.false(cluster.objects.has('Secret/stampede-signing'))
})

test('init – production makes no signing key', async (t) => {
  const cluster = start()
  cluster.answers.push([/kafka-broker-receiver/, '1'])
  await t.throwsAsync(init(testContext(cluster, { overlay: 'production' }).context, { settings: [] }), {
    instanceOf: DeployError,
    message: /AUTH_ISSUER/,
  })
  t.false(cluster.objects.has('Secret/stampede-signing'))
  t.false(cluster.objects.has('Secret/stampede-identity'))
})

test('init – a dry run changes nothing', async (t) => {
  const cluster = start()
  const { context, said } = testContext(cluster, { dryRun: true })
  await init(context, { settings: [] })
  t.deepEqual(changes(cluster), [])
  t.true(said.includes('would create ConfigMap/stampede'))
  cluster.objects.set('Namespace/stampede', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'stampede' } })
  await init(context, { settings: [] })
  t.deepEqual(changes(cluster), [])
  t.is(cluster.calls.filter(({ dryRun }) => dryRun).length, 2, 'the server checked what it could, each time')
})

test('init – settings that were set stay set, and unknown ones are refused', async (t) => {
  const cluster = start()
  await init(testContext(cluster).context, { settings: ['log-level=debug'] })
  t.is(cluster.objects.get('ConfigMap/stampede')?.data?.['log-level'], 'debug')
  cluster.answers.push([
    /get configmap stampede/,
    () => cluster.objects.get('ConfigMap/stampede')?.metadata.annotations?.['stampede.io/settings'],
  ])
  await init(testContext(cluster).context, { settings: ['durability=kafka'] })
  t.deepEqual(cluster.objects.get('ConfigMap/stampede')?.data, { 'log-level': 'debug', durability: 'kafka' })
  await t.throwsAsync(init(testContext(cluster).context, { settings: ['loglevel=debug'] }), {
    message: /no setting loglevel.*log-level, durability/,
  })
})

for (const [condition, api, message] of [
  ['Serving is missing', 'serving.knative.dev/v1', /Knative Serving is not installed.*https:/],
  ['Eventing is missing', 'eventing.knative.dev/v1', /Knative Eventing is not installed.*https:/],
] as const) {
  test(`init – says what to install when ${condition}, before anything is changed`, async (t) => {
    const cluster = start()
    cluster.kinds.delete(api)
    await t.throwsAsync(init(testContext(cluster).context, { settings: [] }), { instanceOf: DeployError, message })
    t.deepEqual(changes(cluster), [])
  })
}

test('init – goes on without KEDA and says so', async (t) => {
  const cluster = start()
  cluster.kinds.delete('keda.sh/v1alpha1')
  const { context, said } = testContext(cluster)
  await init(context, { settings: [] })
  t.true(said.some((line) => /KEDA is not installed/.test(line)))
})

test('init – without the data plane of the Kafka broker, staging names the overlay local', async (t) => {
  const cluster = memoryCluster({ 'overlays/staging': overlay })
  await t.throwsAsync(init(testContext(cluster, { overlay: 'staging' }).context, { settings: [] }), {
    message: /data plane does not run.*--overlay local/,
  })
})

test('init – rights that are missing are named, before anything is changed', async (t) => {
  const cluster = start()
  cluster.answers.push([/auth can-i create (secrets|triggers)/, failure('')])
  await t.throwsAsync(init(testContext(cluster).context, { settings: [] }), {
    message: /create triggers\.eventing\.knative\.dev, create secrets/,
  })
  t.deepEqual(changes(cluster), [])
})
