import test from 'ava'
import { eventing } from './eventing.ts'
import type { ImageOptions } from './function-images.ts'
import { memoryCluster, testContext, type MemoryCluster } from './testing.ts'

const engine = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: eventing-engine, namespace: stampede }
spec: { selector: { matchLabels: { app: engine } }, template: { spec: { containers: [ { image: stampede/eventing-engine } ] } } }
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: eventing-engine, namespace: stampede }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: eventing-manifests-x, namespace: stampede }
data: {}
`
const official = `
apiVersion: v1
kind: ConfigMap
metadata: { name: kafka-broker-config, namespace: stampede }
data: { bootstrap.servers: 'kafka.infra.svc:9092' }
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: { name: default, namespace: stampede }
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: { name: order, namespace: stampede }
spec: { subscriber: { ref: { kind: Service, name: order } } }
---
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: { name: orders, namespace: stampede }
spec: { bootstrapServers: ['kafka.infra.svc:9092'], sink: { ref: { kind: Service, name: order } } }
`
const images: ImageOptions = {
  images: 'docker',
  registry: undefined,
  given: [],
  skipBuild: true,
  buildImage: ({ name }) => Promise.resolve(`built/${name}:1`),
  buildBundles: () => Promise.reject(new Error('not expected')),
}

function start(): MemoryCluster {
  const cluster = memoryCluster({ 'overlays/local': engine, 'overlays/staging': official })
  const brokers = Buffer.from('managed.example.com:9093').toString('base64')
  for (const name of ['stampede-identity', 'stampede-kafka'])
    cluster.objects.set(`Secret/${name}`, { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { brokers } })
  return cluster
}
const list = (...items: object[]) => JSON.stringify({ items })
const conditioned = (apiVersion: string, kind: string, name: string, status: string) => ({
  apiVersion,
  kind,
  metadata: { name },
  status: { conditions: [{ type: 'Ready', status, reason: 'Because', message: 'of the topic' }] },
})

test('eventing – local: the engine with its image, ready when its pod is', async (t) => {
  const cluster = start()
  cluster.answers.push([
    /get deployments.apps/,
    list({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'eventing-engine' },
      status: { availableReplicas: 1, updatedReplicas: 1 },
    }),
  ])
  const { context, said } = testContext(cluster)
  await eventing(context, images)
  t.regex(JSON.stringify(cluster.objects.get('Deployment/eventing-engine')), /built\/eventing-engine:1/)
  t.true(cluster.objects.has('ScaledObject/eventing-engine'))
  t.true(said.some((line) => /eventing-engine is ready/.test(line)))
})

test('eventing – local without KEDA: goes on without scaling and says so', async (t) => {
  const cluster = start()
  cluster.kinds.delete('keda.sh/v1alpha1')
  cluster.answers.push([
    /get deployments.apps/,
    list({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'eventing-engine' },
      status: { availableReplicas: 1, updatedReplicas: 1 },
    }),
  ])
  const { context, said } = testContext(cluster)
  await eventing(context, images)
  t.false(cluster.objects.has('ScaledObject/eventing-engine'))
  t.true(said.some((line) => /Left out ScaledObject\/eventing-engine: KEDA is not installed/.test(line)))
})

test('eventing – official: with the stored addresses of Kafka, and Triggers of absent functions are not waited for', async (t) => {
  const cluster = start()
  cluster.answers.push(
    [/kafka-broker-receiver/, '1'],
    [/get brokers/, list(conditioned('eventing.knative.dev/v1', 'Broker', 'default', 'True'))],
  )
  const { context, said } = testContext(cluster, { overlay: 'staging' })
  await eventing(context, images)
  t.is(cluster.objects.get('ConfigMap/kafka-broker-config')?.data?.['bootstrap.servers'], 'managed.example.com:9093')
  t.deepEqual(cluster.objects.get('KafkaSource/orders')?.spec?.['bootstrapServers'], ['managed.example.com:9093'])
  t.true(
    said.some((line) => /2 Triggers and sources become ready when their functions are there: order, orders/.test(line)),
  )
})

test('eventing – official: a Trigger under a name of before is reported and stays', async (t) => {
  const cluster = start()
  cluster.answers.push(
    [/kafka-broker-receiver/, '1'],
    [
      /get triggers\.eventing\.knative\.dev .*-o name/,
      'trigger.eventing.knative.dev/order\ntrigger.eventing.knative.dev/order-created\n',
    ],
    [/get brokers/, list(conditioned('eventing.knative.dev/v1', 'Broker', 'default', 'True'))],
  )
  const { context, said } = testContext(cluster, { overlay: 'staging' })
  await eventing(context, images)
  const reported = said.filter((line) => line.includes('not in the overlay any more'))
  t.is(reported.length, 1)
  t.regex(reported[0]!, /^order-created is deployed.*delete triggers\.eventing\.knative\.dev order-created$/)
})

test('eventing – official: what is not ready is named with the reason', async (t) => {
  const cluster = start()
  cluster.answers.push(
    [/kafka-broker-receiver/, '1'],
    [/get services.serving/, list({ metadata: { name: 'order' } })],
    [/get brokers/, list(conditioned('eventing.knative.dev/v1', 'Broker', 'default', 'False'))],
    [/get triggers/, list(conditioned('eventing.knative.dev/v1', 'Trigger', 'order', 'True'))],
    [/get kafkasources/, list(conditioned('sources.knative.dev/v1', 'KafkaSource', 'orders', 'True'))],
  )
  await t.throwsAsync(eventing(testContext(cluster, { overlay: 'staging' }).context, images), {
    message: /default \(brokers\.eventing\.knative\.dev\) is not ready: Because: of the topic[\s\S]*get brokers/,
  })
})

test('eventing – official without the data plane: says to use the overlay local', async (t) => {
  await t.throwsAsync(eventing(testContext(start(), { overlay: 'staging' }).context, images), {
    message: /data plane does not run here.*--overlay local/,
  })
})

test('eventing – a missing Secret is named with its step', async (t) => {
  const cluster = start()
  cluster.objects.delete('Secret/stampede-kafka')
  await t.throwsAsync(eventing(testContext(cluster).context, images), {
    message: /stampede-kafka is missing.*deploy infra/,
  })
})
