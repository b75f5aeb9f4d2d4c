/** The command as a person starts it, with a program in kubectl's place. */
import { delimiter, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { runProgram } from './cluster/run-program.ts'
import { createFakeKubectl, type FakeAnswer } from './cluster/testing.ts'
import { descriptionOf, steps, type Step } from './deployment/command.ts'
import { helpOf } from './lib/arguments.ts'
import { repositoryFolder } from './sale/child.ts'

const kinds = (...names: string[]) => JSON.stringify({ resources: names.map((kind) => ({ kind })) })
const notFound = {
  stderr: 'Error from server (NotFound): the server could not find the requested resource',
  exitCode: 1,
}
const healthy: FakeAnswer[] = [
  { when: '^(--context=\\S+ )?version', stdout: '{"serverVersion":{"gitVersion":"v1.34.4"}}' },
  { when: '--raw /apis/serving.knative.dev/v1$', stdout: kinds('Service') },
  { when: '--raw /apis/eventing.knative.dev/v1$', stdout: kinds('Broker', 'Trigger') },
  { when: '--raw /api/v1$', stdout: kinds('Namespace', 'ConfigMap') },
  { when: '--raw', ...notFound },
  { when: 'get crd', stdout: '1.20.0' },
  { when: 'kafka-broker-receiver', stdout: '' },
  { when: 'auth can-i', stdout: 'yes' },
  { when: 'kustomize', stdout: 'apiVersion: v1\nkind: Namespace\nmetadata: { name: stampede }\n' },
  { when: 'get secret', ...notFound, stderr: 'Error from server (NotFound): secrets not found' },
  { when: 'get (namespace|configmap)', stdout: '' },
  { when: 'apply', stdout: '' },
]

async function deploy(t: ExecutionContext, answers: readonly FakeAnswer[], args: readonly string[]) {
  const kubectl = await createFakeKubectl(answers)
  t.teardown(() => kubectl.remove())
  const result = await runProgram(process.execPath, [join(repositoryFolder, 'scripts', 'deploy.ts'), ...args], {
    environment: { ...process.env, PATH: `${kubectl.folder}${delimiter}${process.env['PATH']}` },
  })
  return { ...result, calls: await kubectl.calls() }
}

test('deploy – init applies by standard input, and no argument holds a secret', async (t) => {
  const { exitCode, calls, stderr } = await deploy(t, healthy, ['init', '--context', 'small'])
  t.is(exitCode, 0, stderr)
  t.true(calls.every(({ args }) => args[0] === '--context=small'))
  const applied = calls.filter(({ args }) => args.includes('apply'))
  const secrets = applied.map(({ input }) => input).filter((input) => input.includes('"kind":"Secret"'))
  const data = Object.assign({}, ...secrets.map((text) => (JSON.parse(text) as { data: object }).data)) as Record<
    string,
    string
  >
  t.is(secrets.length, 3)
  for (const key of ['service-secret', 'private-jwk', 'data-keys']) {
    const value = data[key] ?? ''
    t.true(value.length > 30, key)
    for (const hidden of [value, Buffer.from(value, 'base64').toString()]) {
      t.false(calls.some(({ args }) => args.join(' ').includes(hidden)))
      t.false(stderr.includes(hidden))
    }
  }
})

test('deploy – a dry run applies nothing', async (t) => {
  const { exitCode, calls, stderr } = await deploy(t, healthy, ['init', '--dry-run'])
  t.is(exitCode, 0, stderr)
  t.false(calls.some(({ args }) => args.includes('apply') && !args.includes('--dry-run=server')))
})

test('deploy – no cluster, an unknown step and an unknown option are told with the next step', async (t) => {
  const refused = 'The connection to the server localhost:8080 was refused - did you specify the right host or port?'
  const none = await deploy(t, [{ when: '', stderr: refused, exitCode: 1 }], ['all'])
  t.is(none.exitCode, 1)
  t.regex(
    none.stderr,
    /The step init did not succeed[\s\S]*kubectl cluster-info[\s\S]*scripts\/deploy init --overlay local/,
  )
  const step = await deploy(t, [], ['deploy'])
  t.is(step.exitCode, 2)
  t.regex(step.stderr, /no step "deploy"[\s\S]*services/)
  const option = await deploy(t, [], ['verify', '--ingres', 'x:80'])
  t.is(option.exitCode, 2)
  t.regex(option.stderr, /Did you mean --ingress\?.*scripts\/deploy verify --help/)
})

test('deploy – a step explains itself without a cluster', async (t) => {
  const { exitCode, stdout, calls } = await deploy(t, [], ['infra', '--help'])
  t.is(exitCode, 0)
  t.regex(stdout, /scripts\/deploy infra \[options\]/)
  t.deepEqual(calls, [])
})

for (const step of Object.keys(steps) as Step[]) {
  test(`deploy – the help of ${step} has what every step takes`, (t) => {
    const help = helpOf(descriptionOf(step))
    for (const part of ['--overlay local|staging|production', '--context', '--dry-run', '--yes', steps[step].summary])
      t.true(help.includes(part), part)
  })
}
