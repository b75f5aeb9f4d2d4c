import test from 'ava'
import { parse } from 'yaml'
import { DeployError } from './context.ts'
import { forStep } from './func-deploy.ts'
import { containersOf } from './manifests.ts'
import { services, type ServicesOptions } from './services.ts'
import { changes, memoryCluster, testContext, type MemoryCluster } from './testing.ts'

const service = (name: string) => `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: { name: ${name}, namespace: stampede, labels: { app.kubernetes.io/name: ${name} } }
spec: { template: { spec: { containers: [ { image: stampede/${name} } ] } } }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: ${name}, namespace: stampede, labels: { app.kubernetes.io/name: ${name} } }
`
const overlay = `${service('order')}---${service('seckill')}`

const job = (type: string) =>
  JSON.stringify({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'infra-check' },
    status: { conditions: [{ type, status: 'True' }] },
  })

/** With the Secrets in it; deployed functions are ready when `isReady` says so. */
function start(isReady: (name: string) => boolean = () => true): MemoryCluster {
  const cluster = memoryCluster({ 'overlays/local': overlay })
  for (const name of [
    'stampede-identity',
    'stampede-data-keys',
    'stampede-redis',
    'stampede-kafka',
    'stampede-database',
  ])
    cluster.objects.set(`Secret/${name}`, { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: {} })
  cluster.answers.push([/get jobs.batch/, job('Complete')])
  cluster.answers.push([
    /get services\.serving\.knative\.dev .*-o json/,
    () => {
      const items = [...cluster.objects.values()]
        .filter(({ apiVersion }) => apiVersion === 'serving.knative.dev/v1')
        .map((object) => ({
          ...object,
          status: {
            url: `http://${object.metadata.name}.example.com`,
            conditions: [
              isReady(object.metadata.name)
                ? { type: 'Ready', status: 'True' }
                : { type: 'Ready', status: 'False', reason: 'RevisionFailed', message: 'it crashes' },
            ],
          },
        }))
      return JSON.stringify({ items })
    },
  ])
  return cluster
}

function optionsWith(rest: Partial<ServicesOptions> = {}) {
  const built: string[] = []
  const options: ServicesOptions = {
    images: 'docker',
    registry: undefined,
    given: [],
    skipBuild: false,
    only: [],
    with: 'manifests',
    async buildImage({ name, tool }) {
      built.push(`${tool} ${name}`)
      return `registry.example.com/${name}:1`
    },
    async buildBundles() {
      built.push('bundles')
    },
    ...rest,
  }
  return { options, built }
}
const imageOf = ({ objects }: MemoryCluster, name: string) => {
  const manifest = objects.get(`Service/${name}`)
  return manifest && containersOf(manifest)[0]?.image
}

test('services – bundles, builds, applies with the built images, waits and says the URLs', async (t) => {
  const cluster = start()
  const { options, built } = optionsWith()
  const { context, said } = testContext(cluster)
  await services(context, options)
  t.deepEqual(built, ['bundles', 'docker order', 'docker seckill'])
  t.is(imageOf(cluster, 'order'), 'registry.example.com/order:1')
  t.true(cluster.objects.has('PodDisruptionBudget/seckill'))
  t.true(said.some((line) => /seckill is ready .*http:\/\/seckill\.example\.com/.test(line)))
})

test('services – addresses that pods cannot reach are named, and no function is changed', async (t) => {
  const cluster = start()
  cluster.answers.unshift(
    [/get jobs.batch/, job('Failed')],
    [/logs job/, 'ok REDIS_URL a:6379\nFAILED KAFKA_BROKERS b:9092: connect ECONNREFUSED\n'],
  )
  const error = await t.throwsAsync(services(testContext(cluster).context, optionsWith().options), {
    instanceOf: DeployError,
    message: /KAFKA_BROKERS b:9092: connect ECONNREFUSED[\s\S]*scripts\/deploy infra/,
  })
  t.false(error.message.includes('REDIS_URL'))
  t.false(cluster.objects.has('Service/order'))
  t.true(cluster.calls.at(-1)?.args.includes('delete'), 'the Job does not stay')
})

test('services – goes on when the addresses could not be tried', async (t) => {
  const cluster = start()
  cluster.answers.unshift([/get jobs.batch/, job('Failed')])
  const { context, said } = testContext(cluster)
  await services(context, optionsWith().options)
  t.true(said.some((line) => /could not be tried/.test(line)))
  t.true(cluster.objects.has('Service/order'))
})

test('services – only the named ones', async (t) => {
  const cluster = start()
  const { options, built } = optionsWith({ only: ['order'] })
  await services(testContext(cluster).context, options)
  t.deepEqual(built, ['bundles', 'docker order'])
  t.false(cluster.objects.has('Service/seckill'))
  t.false(cluster.objects.has('PodDisruptionBudget/seckill'))
  await t.throwsAsync(services(testContext(cluster).context, { ...options, only: ['oder'] }), {
    message: /no function oder\. There are: order, seckill/,
  })
})

test('services – images that are given are taken and nothing is built', async (t) => {
  const cluster = start()
  const { options, built } = optionsWith({ images: 'given', given: ['order=a/order:1', 'seckill=a/seckill@sha256:1'] })
  await services(testContext(cluster).context, options)
  t.deepEqual(built, [])
  t.is(imageOf(cluster, 'seckill'), 'a/seckill@sha256:1')
  await t.throwsAsync(services(testContext(cluster).context, { ...options, given: ['order=a/order:1'] }), {
    message: /--image NAME=IMAGE for each; seckill is missing/,
  })
})

test('services – a command that is not set is named', async (t) => {
  const { options } = optionsWith({ images: 'command' })
  await t.throwsAsync(services(testContext(start()).context, options), { message: /IMAGE_COMMAND/ })
})

test('services – a missing Secret is named with the step that makes it, before anything is built', async (t) => {
  const cluster = start()
  cluster.objects.delete('Secret/stampede-database')
  const { options, built } = optionsWith()
  await t.throwsAsync(services(testContext(cluster).context, options), {
    instanceOf: DeployError,
    message: /stampede-database is missing.*scripts\/deploy infra/,
  })
  t.deepEqual(built, [])
})

test('services – a new revision comes with changed Secrets only', async (t) => {
  const cluster = start()
  const versionOf = () =>
    JSON.stringify(cluster.objects.get('Service/order')?.spec).match(/settings-version":"(\w+)"/)?.[1]
  await services(testContext(cluster).context, optionsWith().options)
  const first = versionOf()
  await services(testContext(cluster).context, optionsWith().options)
  t.is(versionOf(), first)
  cluster.objects.get('Secret/stampede-redis')!.data = { url: 'another' }
  await services(testContext(cluster).context, optionsWith().options)
  t.not(versionOf(), first)
})

test('services – one that cannot become ready ends the wait early and is explained', async (t) => {
  const cluster = start((name) => name === 'order')
  cluster.answers.push(
    [
      /get pods -l serving.knative.dev\/service=seckill/,
      JSON.stringify({
        items: [
          {
            metadata: { name: 'seckill-1' },
            status: {
              containerStatuses: [
                {
                  name: 'user-container',
                  ready: false,
                  restartCount: 3,
                  state: { waiting: { reason: 'CrashLoopBackOff' } },
                  lastState: { terminated: { exitCode: 78, reason: 'Error' } },
                },
              ],
            },
          },
        ],
      }),
    ],
    [/logs seckill-1/, 'REDIS_URL is not set\n'],
  )
  const { context } = testContext(cluster, { timeoutMs: 600_000 })
  const beganMs = context.now()
  const error = await t.throwsAsync(services(context, optionsWith().options), { instanceOf: DeployError })
  t.true(context.now() - beganMs < 60_000)
  for (const part of [
    /RevisionFailed: it crashes/,
    /ended with code 78/,
    /REDIS_URL is not set/,
    /kubectl -n stampede logs/,
  ])
    t.regex(error.message, part)
  t.notRegex(error.message, /order \(/)
})

test('services – a function that is not in the repository any more is reported and stays', async (t) => {
  const cluster = start()
  cluster.answers.push([/get services\.serving\.knative\.dev .*-o name/, 'service.serving.knative.dev/coupon\n'])
  const { context, said } = testContext(cluster)
  await services(context, optionsWith().options)
  t.true(said.some((line) => /coupon is deployed, but not in the overlay.*delete/.test(line)))
  t.false(changes(cluster).some((args) => args.includes('coupon')))
})

test('services – a dry run builds and changes nothing', async (t) => {
  const cluster = start()
  const { options, built } = optionsWith()
  await services(testContext(cluster, { dryRun: true }).context, options)
  t.deepEqual(built, [])
  t.deepEqual(changes(cluster), [])
})

test('func – deploys without the subscriptions that eventing makes, with the labels of the manifests and its own account', (t) => {
  const text = forStep(
    'name: order\ndeploy:\n  namespace: stampede\n  subscriptions:\n    - source: default\n',
    'order',
  )
  const { name, deploy } = parse(text)
  t.is(name, 'order')
  t.deepEqual(Object.keys(deploy).sort(), ['labels', 'namespace', 'serviceAccountName'])
  t.is(deploy.serviceAccountName, 'order')
  t.deepEqual(
    deploy.labels.map(({ key, value }: Record<string, string>) => `${key}=${value}`),
    [
      'app.kubernetes.io/name=order',
      'app.kubernetes.io/component=function',
      'app.kubernetes.io/part-of=stampede',
      'stampede.io/stage=services',
    ],
  )
})
