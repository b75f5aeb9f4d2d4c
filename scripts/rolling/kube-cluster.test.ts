import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { connectKubectl } from '../cluster/kubectl.ts'
import { createFakeKubectl, type FakeAnswer } from '../cluster/testing.ts'
import { kubeCluster } from './kube-cluster.ts'

const target = { namespace: 'shop', service: 'order' }
const status = (code: number, message: string) => ({ code, body: { kind: 'Status', message } })

/** An API server that answers each path in turn, the last answer again and again. */
async function clusterWith(
  t: ExecutionContext,
  paths: Record<string, { code?: number; body: unknown }[]>,
  kubectl: readonly FakeAnswer[] = [],
) {
  const asked: string[] = []
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = decodeURIComponent(request.url ?? '')
    asked.push(url)
    const answers = paths[url]
    const { code = 200, body } =
      (answers && (answers.length > 1 ? answers.shift() : answers[0])) ?? status(404, 'not found')
    response.writeHead(code).end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  const fake = await createFakeKubectl(kubectl)
  t.teardown(() => fake.remove())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const api = { get: (path: string) => fetch(`${url}${path}`) }
  return { cluster: kubeCluster(connectKubectl({ program: fake.program }), api, target), asked, calls: fake.calls }
}

const servicePath = '/apis/serving.knative.dev/v1/namespaces/shop/services/order'

test('cluster – a read is repeated when the server stumbles, and not when it refuses', async (t) => {
  const { cluster, asked } = await clusterWith(t, {
    [servicePath]: [status(503, 'starting'), status(429, 'slow down'), { body: { metadata: { name: 'order' } } }],
    '/apis/serving.knative.dev/v1/namespaces/shop/revisions/order-1': [status(403, 'you may not')],
  })
  t.like(await cluster.readService(), { metadata: { name: 'order' } })
  t.is(asked.length, 3)
  await t.throwsAsync(cluster.readRevision('order-1'), { message: /403 you may not/ })
  t.is(asked.length, 4)
})

test('cluster – no Service is an error with the next step, no revision or Lease is none', async (t) => {
  const { cluster } = await clusterWith(t, {})
  await t.throwsAsync(cluster.readService(), { message: /no Service order in namespace shop.*scripts\/deploy/ })
  t.is(await cluster.readRevision('gone'), undefined)
  t.is(await cluster.readLease('gone'), undefined)
})

test('cluster – pods of the revision alone, and metrics by the proxy of the API server', async (t) => {
  const { cluster, asked } = await clusterWith(t, {
    '/api/v1/namespaces/shop/pods?limit=500&labelSelector=serving.knative.dev/revision=order-2': [
      { body: { items: [] } },
    ],
    '/api/v1/namespaces/shop/pods/pod-1:9091/proxy/metrics': [{ body: 'a 1' }],
  })
  t.deepEqual(await cluster.listPods('order-2'), [])
  t.is(await cluster.readMetrics('pod-1', 9091), 'a 1')
  await t.throwsAsync(cluster.readMetrics('pod-2', 9091))
  t.is(asked.length, 3, 'a pod that does not answer is not asked again at once')
})

test('cluster – a patch goes out as one JSON patch of the rollout, and says when a test did not hold', async (t) => {
  const operations = [{ op: 'add', path: '/spec/traffic', value: [] }] as const
  const done = await clusterWith(t, {}, [{ when: 'patch' }])
  t.is(await done.cluster.patchService(operations), 'done')
  t.deepEqual((await done.calls())[0]?.args, [
    '-n',
    'shop',
    'patch',
    'services.serving.knative.dev',
    'order',
    '--type=json',
    '--field-manager=stampede-rollout',
    `--patch=${JSON.stringify(operations)}`,
  ])
  for (const stderr of refusals) {
    const refused = await clusterWith(t, {}, [{ when: 'patch', exitCode: 1, stderr }])
    t.is(await refused.cluster.patchService(operations), 'changed', stderr)
  }
  const broken = await clusterWith(t, {}, [
    { when: 'patch', exitCode: 1, stderr: 'admission webhook denied the request' },
  ])
  await t.throwsAsync(broken.cluster.patchService(operations), { message: /webhook/ })
})

test('cluster – reads without its proxy when that has ended', async (t) => {
  const fake = await createFakeKubectl([
    { when: 'revisions/gone', exitCode: 1, stderr: 'Error from server (NotFound): revisions "gone" not found' },
    { when: '^get --raw', stdout: '{"metadata":{"name":"order"}}' },
  ])
  t.teardown(() => fake.remove())
  const api = { get: () => fetch('http://127.0.0.1:1/') }
  const cluster = kubeCluster(connectKubectl({ program: fake.program }), api, target)
  t.like(await cluster.readService(), { metadata: { name: 'order' } })
  t.is(await cluster.readRevision('gone'), undefined)
  t.deepEqual((await fake.calls())[0]?.args, ['get', '--raw', servicePath])
})

/** As kubectl 1.34 says it. */
const refusals = [
  'The request is invalid: the server rejected our request due to an error in our request',
  'Error from server (Conflict): Operation cannot be fulfilled on services.serving.knative.dev "order": the object has been modified',
]

test('cluster – a Lease is made when it has no version, else replaced, and another was faster', async (t) => {
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'l', namespace: 'shop' },
    spec: {},
  } as const
  const made = await clusterWith(t, {}, [{ when: '^create' }, { when: '^replace', exitCode: 1, stderr: refusals[1] }])
  t.is(await made.cluster.writeLease(lease), 'done')
  t.is(await made.cluster.writeLease({ ...lease, metadata: { ...lease.metadata, resourceVersion: '7' } }), 'changed')
  t.deepEqual(
    (await made.calls()).map(({ args, input }) => [args[0], JSON.parse(input).metadata.resourceVersion]),
    [
      ['create', undefined],
      ['replace', '7'],
    ],
  )
  const exists = await clusterWith(t, {}, [
    { when: 'create', exitCode: 1, stderr: 'Error from server (AlreadyExists): leases "l" already exists' },
  ])
  t.is(await exists.cluster.writeLease(lease), 'changed')
})
