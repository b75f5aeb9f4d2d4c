import test from 'ava'
import { createClusterWatch, notAtMinimum } from './cluster-watch.ts'
import { Gaps } from './gaps.ts'
import { quantityOf } from './lag.ts'
import { serviceLabel } from './pods.ts'
import { encodeStat, fakePod, startFakeCluster, type FakeCluster } from './testing.ts'

const namespace = 'shop'
const podsPath = `/api/v1/namespaces/${namespace}/pods`
const scalesPath = `/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/${namespace}/podautoscalers`
const proxied = (pod: string, port: number, path = '/metrics') => `${podsPath}/${pod}:${port}/proxy${path}`

const scaler = (service: string, desired: number, actual: number, minimum = '0', reachability = 'Reachable') => ({
  metadata: {
    name: `${service}-00001`,
    labels: { [serviceLabel]: service },
    annotations: { 'autoscaling.knative.dev/min-scale': minimum },
  },
  spec: { reachability },
  status: { desiredScale: desired, actualScale: actual },
})

const histogram = (
  requests: number,
  slow: number,
  errors = 0,
) => `# TYPE kn_serving_invocation_duration_seconds histogram
kn_serving_invocation_duration_seconds_bucket{http_response_status_code="202",le="0.005"} ${requests - slow}
kn_serving_invocation_duration_seconds_bucket{http_response_status_code="202",le="0.01"} ${requests - slow}
kn_serving_invocation_duration_seconds_bucket{http_response_status_code="202",le="1"} ${requests}
kn_serving_invocation_duration_seconds_bucket{http_response_status_code="202",le="+Inf"} ${requests}
kn_serving_invocation_duration_seconds_count{http_response_status_code="202"} ${requests}
kn_serving_invocation_duration_seconds_count{http_response_status_code="503"} ${errors}
`

function watchOf(cluster: FakeCluster, nowMs: () => number = Date.now) {
  const said: string[] = []
  const gaps = new Gaps((line) => said.push(line))
  return { watch: createClusterWatch({ api: cluster.api, namespace, gaps, nowMs }), gaps, said }
}

test('cluster watch – follows pods that come and go', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const { watch } = watchOf(cluster)
  const labels = { [serviceLabel]: 'seckill' }
  const show = async (...pods: ReturnType<typeof fakePod>[]) => {
    cluster.answers.set(podsPath, { items: pods })
    return (await watch.look()).functions['seckill']
  }
  cluster.answers.set(scalesPath, { items: [scaler('seckill', 0, 0, '1')] })
  t.deepEqual((await show())?.pods, { pending: 0, creating: 0, running: 0, ready: 0, terminating: 0 })

  cluster.answers.set(scalesPath, { items: [scaler('seckill', 3, 1, '1')] })
  cluster.answers.set(proxied('a', 9_090), encodeStat('a', 2.5, 40))
  const busy = await show(
    fakePod('a', labels, 'ready'),
    fakePod('b', labels, 'running'),
    fakePod('c', labels, 'creating'),
    fakePod('d', labels, 'pending'),
    fakePod('e', labels, 'terminating'),
    fakePod('f', labels, 'succeeded'),
    fakePod('redis-0', { app: 'redis' }, 'ready'),
  )
  t.deepEqual(busy?.pods, { pending: 1, creating: 1, running: 1, ready: 1, terminating: 1 })
  t.is(busy?.desired, 3)
  t.is(busy?.actual, 1)
  t.is(busy?.concurrency, 2.5)
  t.is(busy?.requestsPerSecond, 40)
  t.deepEqual(watch.minimums(), { seckill: 1 })

  cluster.answers.set(scalesPath, { items: [scaler('seckill', 0, 0, '1')] })
  t.is((await show())?.pods?.ready, 0)
})

test('cluster watch – revisions of a function are summed, one that no route leads to has no minimum', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const { watch } = watchOf(cluster)
  cluster.answers.set(podsPath, { items: [] })
  cluster.answers.set(scalesPath, {
    items: [scaler('order', 2, 2, '2'), scaler('order', 1, 1, '5', 'Unreachable'), scaler('order', -1, -1)],
  })
  const { functions } = await watch.look()
  t.is(functions['order']?.desired, 3)
  t.deepEqual(watch.minimums(), { order: 2 })
})

test('cluster watch – latency and errors are those of the last second, summed over the pods', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const { watch } = watchOf(cluster)
  const labels = { [serviceLabel]: 'seckill' }
  cluster.answers.set(scalesPath, { items: [] })
  cluster.answers.set(podsPath, { items: [fakePod('a', labels, 'ready')] })
  cluster.answers.set(proxied('a', 9_090), encodeStat('a', 0, 0))
  cluster.answers.set(proxied('a', 9_091), histogram(1_000, 0))
  const first = (await watch.look()).functions['seckill']
  t.is(first?.p99Ms, undefined, 'what came before the observation is not its own')
  t.is(first?.errors, 0)

  cluster.answers.set(proxied('a', 9_091), histogram(1_100, 50, 7))
  cluster.answers.set(podsPath, { items: [fakePod('a', labels, 'ready'), fakePod('b', labels, 'ready')] })
  cluster.answers.set(proxied('b', 9_090), encodeStat('b', 0, 0))
  cluster.answers.set(proxied('b', 9_091), histogram(100, 0))
  const second = (await watch.look()).functions['seckill']
  t.is(second?.errors, 7)
  // 50 below 5 ms at the old pod, 100 at the new one; 50 between 10 ms and 1 s.
  t.true(second!.p50Ms! < 5)
  t.true(second!.p99Ms! > 900 && second!.p99Ms! <= 1_000, String(second?.p99Ms))
})

test('cluster watch – a source that cannot be read stays a gap and is named once', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  let nowMs = 0
  const { watch, said, gaps } = watchOf(cluster, () => nowMs)
  const labels = { [serviceLabel]: 'seckill' }
  cluster.answers.set(podsPath, { items: [fakePod('a', labels, 'ready')] })
  cluster.answers.set(scalesPath, new Error('the server is on fire'))
  watch.readStock = async () => {
    throw new Error('no live view')
  }
  for (let look = 0; look < 3; look++) {
    const { functions, lag, stock } = await watch.look()
    t.deepEqual(functions, { seckill: { pods: { pending: 0, creating: 0, running: 0, ready: 1, terminating: 0 } } })
    t.is(lag, undefined)
    t.is(stock, undefined)
    nowMs += 1_000
  }
  for (const source of ['desired', 'stock', 'lag', 'concurrency', 'port 9091'])
    t.is(said.filter((line) => line.includes(source)).length, 1, source)
  t.true(said.some((line) => line.includes('on fire')))
  t.is(gaps.list().find(({ source }) => source === 'stock')?.times, 3)
  // Nothing listens there by default: asked once and not again each second.
  t.is(cluster.asked.filter((path) => path === proxied('a', 9_091)).length, 1)

  cluster.answers.set(podsPath, new Error('gone'))
  t.deepEqual((await watch.look()).functions, {}, 'not known is not none')
})

test('cluster watch – lag of the engine is summed over its pods, by the port its name means', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const { watch } = watchOf(cluster)
  const labels = { engine: 'yes' }
  cluster.answers.set(`/api/v1/namespaces/${namespace}/services/eventing-engine`, {
    spec: { selector: labels, ports: [{ port: 80, targetPort: 'http' }] },
  })
  cluster.answers.set(scalesPath, { items: [] })
  cluster.answers.set(podsPath, {
    items: [fakePod('x', labels, 'ready'), fakePod('y', labels, 'ready'), fakePod('z', labels, 'creating')],
  })
  cluster.answers.set(proxied('x', 8_081, '/lag'), [{ consumer: 'trigger/shop/a', lag: 3, inFlight: 0 }])
  cluster.answers.set(proxied('y', 8_081, '/lag'), [
    { consumer: 'trigger/shop/a', lag: 4, inFlight: 0 },
    { consumer: 'source/shop/b', lag: 1, inFlight: 0 },
  ])
  const { lag, functions } = await watch.look()
  t.deepEqual(lag, { 'trigger/shop/a': 7, 'source/shop/b': 1 })
  t.deepEqual(functions['eventing-engine']?.pods, { pending: 0, creating: 1, running: 0, ready: 2, terminating: 0 })
})

test('cluster watch – without the engine the lag is what KEDA scales by', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const { watch } = watchOf(cluster)
  cluster.answers.set(scalesPath, { items: [] })
  cluster.answers.set(podsPath, { items: [] })
  cluster.answers.set(`/apis/keda.sh/v1alpha1/namespaces/${namespace}/scaledobjects`, {
    items: [{ metadata: { name: 'orders' }, status: { externalMetricNames: ['s0-kafka-orders'] } }],
  })
  cluster.answers.set(`/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/s0-kafka-orders`, {
    items: [{ value: '1500m' }, { value: '2' }],
  })
  t.deepEqual((await watch.look()).lag, { 'orders/s0-kafka-orders': 3.5 })
})

test('cluster watch – quantities of Kubernetes', (t) => {
  t.deepEqual(['12', '1500m', '2k', 'soon'].map(quantityOf), [12, 1.5, 2_000, Number.NaN])
})

test('at the minimum – more ready or starting pods and unknown ones are not', (t) => {
  const counts = { pending: 0, creating: 0, running: 0, ready: 1, terminating: 0 }
  const above = (pods: typeof counts | undefined, minimum: number) =>
    notAtMinimum({ functions: { f: pods === undefined ? {} : { pods } } }, { f: minimum })
  t.deepEqual(above(counts, 1), [])
  t.deepEqual(above(counts, 0), ['f'])
  t.deepEqual(above({ ...counts, terminating: 1 }, 1), [], 'one that ends only answers what it has taken')
  t.deepEqual(above({ ...counts, creating: 1 }, 1), ['f'])
  t.deepEqual(above(undefined, 0), ['f'])
})
