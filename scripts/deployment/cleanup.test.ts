import test from 'ava'
import { cleanup } from './cleanup.ts'
import { DeployError } from './context.ts'
import { failure, memoryCluster, testContext, type MemoryCluster } from './testing.ts'

/** `resource` → lines of `namespace name stage`. */
function start(found: Record<string, string[]>, volumes: string[] = []): MemoryCluster {
  const cluster = memoryCluster({})
  cluster.answers.push(
    [
      /-n stampede get secret stampede-data-keys /,
      () => (found['secrets']?.includes(dataKeys) ? 'secret/stampede-data-keys\n' : ''),
    ],
    [/get persistentvolumeclaims/, volumes.map((name) => `persistentvolumeclaim/${name}`).join('\n')],
    [
      /^get \S+ -l stampede\.io\/stage .* -A$/s,
      (args) => {
        const lines = found[args[1] ?? '']
        if (lines === undefined) return failure(`error: the server doesn't have a resource type "${args[1]}"`)
        return lines.map((line) => line.replaceAll(' ', '\t').replaceAll('-\t', '\t')).join('\n')
      },
    ],
  )
  return cluster
}
const deleted = ({ calls }: MemoryCluster) =>
  calls
    .filter(({ args }) => args.includes('delete'))
    .map(({ args }) => args.filter((arg) => !arg.startsWith('--')).join(' '))

const dataKeys = 'stampede stampede-data-keys init'
const everything = {
  'services.serving.knative.dev': ['stampede order services', 'stampede seckill services'],
  services: ['stampede order services Route'],
  'deployments.apps': ['stampede eventing-engine eventing'],
  'statefulsets.apps': ['infra redis infra'],
  secrets: ['stampede stampede-identity init', 'stampede stampede-redis infra', 'infra redis infra', dataKeys],
  namespaces: ['- stampede init', '- infra infra'],
}

const withoutKeys = { ...everything, secrets: everything.secrets.filter((line) => line !== dataKeys) }

test('cleanup – functions before the engine, Secrets after, namespaces last', async (t) => {
  const cluster = start(withoutKeys)
  await cleanup(testContext(cluster).context, { data: false })
  t.deepEqual(deleted(cluster), [
    '-n stampede delete services.serving.knative.dev order seckill',
    '-n stampede delete deployments.apps eventing-engine',
    '-n infra delete statefulsets.apps redis',
    '-n stampede delete secrets stampede-identity stampede-redis',
    '-n infra delete secrets redis',
    'delete namespace stampede',
    'delete namespace infra',
  ])
})

test('cleanup – data volumes stay with the Secrets that open them', async (t) => {
  const cluster = start(everything, ['data-redis-0'])
  const { context, said } = testContext(cluster)
  await cleanup(context, { data: false })
  t.false(
    deleted(cluster).some((line) =>
      /namespace |persistentvolumeclaim|-n infra delete secrets|stampede-redis/.test(line),
    ),
  )
  t.true(deleted(cluster).includes('-n stampede delete secrets stampede-identity'))
  t.true(said.some((line) => /Kept: .*data volumes/.test(line)))
})

test('cleanup – with data the volumes go too', async (t) => {
  const cluster = start(everything, ['data-redis-0'])
  await cleanup(testContext(cluster).context, { data: true })
  t.true(deleted(cluster).includes('-n infra delete persistentvolumeclaim data-redis-0'))
  t.true(deleted(cluster).includes('delete namespace infra'))
})

test('cleanup – the keys of personal data stay with their namespace, where no volume is, and it is said', async (t) => {
  const cluster = start(everything)
  const { context, said } = testContext(cluster)
  await cleanup(context, { data: false })
  const lines = deleted(cluster)
  t.true(lines.includes('-n stampede delete secrets stampede-identity stampede-redis'))
  t.false(lines.some((line) => /stampede-data-keys|namespace stampede/.test(line)))
  t.true(lines.includes('delete namespace infra'))
  t.true(said.some((line) => /^Kept: .*stampede-data-keys.*namespace stampede.*--data/.test(line)))

  const rest = start({ secrets: [dataKeys], namespaces: ['- stampede init'] })
  const again = testContext(rest)
  await cleanup(again.context, { data: false })
  t.deepEqual(deleted(rest), [])
  t.regex(again.said.join('\n'), /^Nothing else of Stampede is left here\.\nKept: .*stampede-data-keys/)
})

test('cleanup – keys of personal data that were put back without a label stay as well', async (t) => {
  const cluster = start(withoutKeys)
  cluster.answers.unshift([/get secret stampede-data-keys /, 'secret/stampede-data-keys\n'])
  await cleanup(testContext(cluster).context, { data: false })
  t.false(deleted(cluster).includes('delete namespace stampede'))
})

test('cleanup – with data the keys of personal data go, after a question that names them', async (t) => {
  const cluster = start(everything)
  const asked: string[] = []
  const { context, said } = testContext(cluster, {
    confirm: (question) => {
      asked.push(question)
      return Promise.resolve(true)
    },
  })
  await cleanup(context, { data: true })
  t.deepEqual(asked, ['Delete this and the keys of personal data?'])
  t.true(said.some((line) => /cannot be read again/.test(line)))
  t.true(deleted(cluster).some((line) => /delete secrets .*stampede-data-keys/.test(line)))
  t.true(deleted(cluster).includes('delete namespace stampede'))
})

test('cleanup – deletes nothing when a person says no, in a dry run, and when nothing is there', async (t) => {
  const cluster = start(everything)
  await t.throwsAsync(
    cleanup(testContext(cluster, { confirm: () => Promise.resolve(false) }).context, { data: false }),
    {
      instanceOf: DeployError,
    },
  )
  await cleanup(testContext(cluster, { dryRun: true }).context, { data: true })
  t.deepEqual(deleted(cluster), [])
  const { context, said } = testContext(start({ namespaces: [] }))
  await cleanup(context, { data: false })
  t.deepEqual(said, ['Nothing of Stampede is left here.'])
})

test('cleanup – waits for pods that finish, with a limit', async (t) => {
  const cluster = start(everything)
  let left = 3
  cluster.answers.unshift([/stampede get pods/, () => 'pod/one\n'.repeat(Math.max(0, (left -= 1)))])
  const { context, said } = testContext(cluster)
  await cleanup(context, { data: false })
  t.true(said.includes('2 pods finish their work …'))
  cluster.answers.unshift([/stampede get pods/, 'pod/one\n'])
  await t.throwsAsync(cleanup(testContext(cluster).context, { data: false }), { message: /still there after/ })
})

test('cleanup – somebody who may only see the platform’s namespace cleans that', async (t) => {
  const cluster = start({})
  cluster.answers.unshift(
    [/-A$/s, failure('Error from server (Forbidden): pods is forbidden: User "u" cannot list resource')],
    [/^-n stampede get deployments.apps -l/, 'stampede\teventing-engine\teventing\n'],
  )
  await cleanup(testContext(cluster).context, { data: false })
  t.deepEqual(deleted(cluster), ['-n stampede delete deployments.apps eventing-engine'])
})

test('cleanup – what does not go is named with its finalizers', async (t) => {
  const cluster = start(everything)
  cluster.answers.unshift([/delete services/, failure('error: timed out waiting for the condition on services/order')])
  await t.throwsAsync(cleanup(testContext(cluster).context, { data: false }), {
    message: /order, seckill did not go.*finalizers.*scripts\/deploy cleanup/s,
  })
})
