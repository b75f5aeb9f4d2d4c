import test, { type ExecutionContext } from 'ava'
import { KubectlError, connectKubectl, openKubeApi } from './kubectl.ts'
import { createFakeKubectl, type FakeAnswer } from './testing.ts'

async function fake(t: ExecutionContext, answers: readonly FakeAnswer[]) {
  const kubectl = await createFakeKubectl(answers)
  t.teardown(() => kubectl.remove())
  return kubectl
}

test('kubectl – context and kubeconfig come first, and the output is returned', async (t) => {
  const { program, calls } = await fake(t, [{ when: 'get pods', stdout: 'pod/one\n' }])
  const kubectl = connectKubectl({ program, context: 'small', kubeconfig: '/some where/config' })
  t.is(await kubectl.run(['get', 'pods', '-l', 'a=$(b)']), 'pod/one\n')
  t.deepEqual((await calls())[0]?.args, [
    '--context=small',
    '--kubeconfig=/some where/config',
    'get',
    'pods',
    '-l',
    'a=$(b)',
  ])
})

test('kubectl – json is asked for and parsed', async (t) => {
  const { program, calls } = await fake(t, [{ when: 'get namespace x -o json', stdout: '{"kind":"Namespace"}' }])
  t.deepEqual(await connectKubectl({ program }).json(['get', 'namespace', 'x']), { kind: 'Namespace' })
  t.is((await calls()).length, 1)
})

test('kubectl – apply sends manifests by standard input and never forces unless asked', async (t) => {
  const { program, calls } = await fake(t, [{ when: 'apply', stdout: 'ok' }])
  const kubectl = connectKubectl({ program })
  await kubectl.apply('kind: Secret', { dryRun: 'server' })
  await kubectl.apply('kind: Secret', { forceConflicts: true })
  const [dry, forced] = await calls()
  t.deepEqual(dry, {
    args: ['apply', '--server-side', '--field-manager=stampede', '--dry-run=server', '-f', '-'],
    input: 'kind: Secret',
  })
  t.deepEqual(forced?.args, ['apply', '--server-side', '--field-manager=stampede', '--force-conflicts', '-f', '-'])
})

for (const [condition, stderr, failure, message] of [
  ['not there', 'Error from server (NotFound): pods "x" not found', 'not-found', /pods "x" not found.*kubectl get x/],
  [
    'not allowed',
    'Error from server (Forbidden): pods is forbidden: User "u" cannot list resource',
    'forbidden',
    /does not let you/,
  ],
  [
    'no cluster',
    'The connection to the server localhost:8080 was refused - did you specify the right host or port?',
    'unreachable',
    /kubectl cluster-info/,
  ],
  ['a context that is not there', 'error: context "x" does not exist', 'unreachable', /--context/],
  ['owned by others', 'error: Apply failed with 1 conflict: conflict with "hpa"', 'conflict', /conflict with "hpa"/],
  ['anything else', 'error: it rains', 'failed', /it rains/],
] as const) {
  test(`kubectl – an error tells what is wrong when it is ${condition}`, async (t) => {
    const { program } = await fake(t, [{ when: '', stderr, exitCode: 1 }])
    const error = await t.throwsAsync(connectKubectl({ program }).run(['get', 'x'], { input: 'password: secret' }), {
      instanceOf: KubectlError,
      message,
    })
    t.is(error.failure, failure)
    t.is(error.stderr, stderr)
    t.false(JSON.stringify(error).concat(error.message).includes('secret'))
  })
}

test('kubectl – a program that is not there is named with the next step', async (t) => {
  const error = await t.throwsAsync(connectKubectl({ program: '/nowhere/kubectl' }).run(['version']), {
    instanceOf: KubectlError,
    message: /not installed.*kubernetes\.io/s,
  })
  t.is(error.failure, 'missing')
})

test('kubectl – a call that takes too long is stopped', async (t) => {
  const { program } = await fake(t, [{ when: '', stays: true }])
  const error = await t.throwsAsync(connectKubectl({ program }).run(['wait'], { timeoutMs: 300 }), {
    instanceOf: KubectlError,
  })
  t.is(error.failure, 'timeout')
})

test('API – the proxy serves reading only, on a port of its own, and ends', async (t) => {
  const { program, calls } = await fake(t, [
    { when: 'proxy', stdout: 'Starting to serve on 127.0.0.1:43211\n', stays: true },
  ])
  const api = await openKubeApi({ program, context: 'small' })
  t.is(api.url, 'http://127.0.0.1:43211')
  await api.close()
  t.deepEqual((await calls())[0]?.args, [
    '--context=small',
    'proxy',
    '--address=127.0.0.1',
    '--port=0',
    '--reject-methods=POST,PUT,PATCH,DELETE',
  ])
})

test('API – what kubectl says is told when the proxy ends at once', async (t) => {
  const { program } = await fake(t, [{ when: 'proxy', stderr: 'error: no such context\n', exitCode: 1 }])
  await t.throwsAsync(openKubeApi({ program }), { message: /no such context/ })
})
