import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { environmentOf, readFunctions, type FuncYaml } from './func-yaml.ts'
import { inputsHash } from './render.ts'
import { knativeService } from './services.ts'
import { parseSettings } from './settings.ts'

const resources = '{ requests: { cpu: 100m, memory: 128Mi }, limits: { cpu: 500m, memory: 256Mi } }'
const defaults = `
defaults:
  window: 60s
  panic-window-percentage: 25
  panic-threshold-percentage: 200
  scale-down-delay: 300s
  target-burst-capacity: 200
  scale-to-zero-pod-retention-period: 60s
  timeout-seconds: 60
  resources: ${resources}
  queue-proxy: ${resources}
`

async function folderWith(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'stampede-knative-'))
  t.teardown(() => rm(root, { recursive: true }))
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true })
    await writeFile(join(root, path), content)
  }
  return root
}

const withEnvironment = (value: string) => ({ name: 'thing', run: { envs: [{ name: 'A', value }] } }) as FuncYaml

test('environment – references of func.yaml become references of Kubernetes', (t) => {
  t.deepEqual(environmentOf(withEnvironment('{{ secret:some-secret:a.key }}')), [
    { name: 'A', valueFrom: { secretKeyRef: { name: 'some-secret', key: 'a.key' } } },
  ])
  t.deepEqual(environmentOf(withEnvironment('{{configMap:settings:log-level}}')), [
    { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'log-level' } } },
  ])
  t.deepEqual(environmentOf(withEnvironment('just text')), [{ name: 'A', value: 'just text' }])
})

test('environment – a reference that manifests cannot hold is refused', (t) => {
  t.throws(() => environmentOf(withEnvironment('{{ env:HOME }}')), { message: /thing: A has a value/ })
  t.throws(() => environmentOf(withEnvironment('x-{{ secret:a:b }}')), { message: /thing: A has a value/ })
})

test('settings – a function without settings, and settings without a function, are found', (t) => {
  t.throws(() => parseSettings(`${defaults}functions: { order: {} }`, ['order', 'seckill']), {
    message: /nothing is said about seckill/,
  })
  t.throws(() => parseSettings(`${defaults}functions: { order: {}, ordre: {} }`, ['order']), {
    message: /there is no function ordre/,
  })
  t.throws(() => parseSettings(`${defaults}functions: { order: { windows: 6s } }`, ['order']), { message: /windows/ })
})

test('settings – what a function says wins over the defaults', (t) => {
  const settings = parseSettings(`${defaults}functions: { order: { window: 30s }, seckill: {} }`, ['order', 'seckill'])
  t.is(settings.get('order')?.window, '30s')
  t.is(settings.get('seckill')?.window, '60s')
  t.is(settings.get('order')?.['scale-down-delay'], '300s')
})

test('functions – a folder whose func.yaml has another name is refused', async (t) => {
  const root = await folderWith(t, { 'functions/order/func.yaml': 'name: orders\nrun: {}\ndeploy: {}\n' })
  await t.throwsAsync(readFunctions(root), { message: /functions\/order\/func.yaml: the function is called orders/ })
})

test('a Knative Service – has what func.yaml says, and the settings for the rest', async (t) => {
  const root = await folderWith(t, {
    'functions/order/func.yaml': `
name: order
run: { envs: [], volumes: [{ configMap: documents, path: /etc/documents }] }
deploy:
  options:
    scale: { min: 1, max: 4, metric: rps, target: 20, utilization: 75 }
    resources: { requests: { cpu: 250m }, limits: { memory: 1Gi, concurrency: 7 } }
`,
    'functions/no-function/readme.md': '',
  })
  const [definition, ...others] = await readFunctions(root)
  t.is(others.length, 0)
  const settings = parseSettings(`${defaults}functions: { order: { visibility: cluster-local } }`, ['order']).get(
    'order',
  )!
  const service = knativeService(definition!, settings) as {
    metadata: { labels: Record<string, string> }
    spec: {
      template: {
        metadata: { annotations: Record<string, string> }
        spec: {
          containerConcurrency: number
          timeoutSeconds: number
          volumes: unknown[]
          containers: { resources: unknown; volumeMounts: unknown[] }[]
        }
      }
    }
  }
  const { metadata, spec } = service.spec.template
  t.is(service.metadata.labels['networking.knative.dev/visibility'], 'cluster-local')
  t.like(metadata.annotations, {
    'autoscaling.knative.dev/min-scale': '1',
    'autoscaling.knative.dev/max-scale': '4',
    'autoscaling.knative.dev/metric': 'rps',
    'autoscaling.knative.dev/target': '20',
    'autoscaling.knative.dev/target-utilization-percentage': '75',
    'autoscaling.knative.dev/panic-window-percentage': '25.0',
    'autoscaling.knative.dev/scale-down-delay': '300s',
  })
  t.false('autoscaling.knative.dev/activation-scale' in metadata.annotations)
  t.is(spec.containerConcurrency, 7)
  t.is(spec.timeoutSeconds, 60)
  // A function starts without its documents.
  t.deepEqual(spec.volumes[1], { name: 'documents', configMap: { name: 'documents', optional: true } })
  t.deepEqual(spec.containers[0]?.volumeMounts[1], { name: 'documents', mountPath: '/etc/documents', readOnly: true })
  t.deepEqual(spec.containers[0]?.resources, {
    requests: { cpu: '250m', memory: '128Mi' },
    limits: { cpu: '500m', memory: '1Gi' },
  })
})

test('the hash of the inputs – changes with a content and with a name, and not with what is rendered', async (t) => {
  const files = {
    'knative/base/a.yaml': 'a: 1\n',
    'eventing/manifests/b.yaml': 'b: 1\n',
    'eventing/kustomization.yaml': 'c: 1\n',
  }
  const hash = async (more: Record<string, string>) => inputsHash(await folderWith(t, { ...files, ...more }))
  const first = await hash({})
  t.is(await hash({ 'knative/rendered/local.yaml': 'x', 'knative/README.md': 'x' }), first)
  t.not(await hash({ 'knative/base/a.yaml': 'a: 2\n' }), first)
  t.not(await hash({ 'eventing/manifests/b.yaml': 'b: 2\n' }), first)
  t.not(await hash({ 'eventing/kustomization.yaml': 'c: 2\n' }), first)
  t.not(await hash({ 'knative/base/other.yaml': '' }), first)
})
