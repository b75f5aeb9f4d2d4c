import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { isKnativeService, readManifestFile } from './manifest.ts'
import { readFunctions } from './func-yaml.ts'
import { hasKubectl, hashOf, overlays, renderedPath, renderOverlays, staleRenderings } from './render.ts'

const root = join(import.meta.dirname, '..', '..', '..')

test('rendered overlays – are made from the present manifests', async (t) => {
  t.deepEqual(await staleRenderings(root), [], 'npm run generate, on a machine with kubectl')
})

test('rendered overlays – come out the same where there is a kubectl', async (t) => {
  if (!(await hasKubectl())) {
    t.log('There is no kubectl here; the hash of the inputs has to do.')
    t.pass()
    return
  }
  for (const { path, content } of (await renderOverlays(root))!)
    t.is(await readFile(join(root, path), 'utf8'), content, path)
})

test('the hash of a rendering – is read from its first line only', (t) => {
  const hash = 'a'.repeat(64)
  t.is(hashOf(`# Made by x; inputs ${hash}. Do not\nkind: X`), hash)
  t.is(hashOf(`kind: X\n# inputs ${hash}.`), undefined)
})

for (const overlay of overlays) {
  test(`rendered ${overlay} – has each function with its account and its budget`, async (t) => {
    const manifests = await readManifestFile(join(root, renderedPath(overlay)))
    const names = (await readFunctions(root)).map(({ name }) => name)
    const namesOf = (kind: string) =>
      manifests
        .filter((manifest) => (kind === 'Service' ? isKnativeService(manifest) : manifest.kind === kind))
        .map(({ metadata }) => metadata.name)
        .filter((name) => name !== 'eventing-engine')
        .sort()
    for (const kind of ['Service', 'ServiceAccount', 'PodDisruptionBudget']) t.deepEqual(namesOf(kind), names, kind)
  })
}

test('rendered local – the engine gets the very same manifests, as files', async (t) => {
  const manifests = await readManifestFile(join(root, renderedPath('local')))
  const { data = {} } = manifests.find(({ metadata }) => metadata.name.startsWith('eventing-manifests-'))!
  const files = [
    'broker.yaml',
    'sinks.yaml',
    ...['event-types', 'triggers', 'sources', 'pings'].map((name) => `generated/${name}.yaml`),
  ]
  t.is(Object.keys(data).length, files.length)
  for (const file of files)
    t.is(data[file.replace('generated/', '')], await readFile(join(root, 'eventing', 'manifests', file), 'utf8'), file)
  t.false(manifests.some(({ kind }) => ['Broker', 'Trigger', 'KafkaSource', 'PingSource'].includes(kind)))
})

for (const overlay of ['staging', 'production']) {
  test(`rendered ${overlay} – events go through the official broker, with three copies and signed`, async (t) => {
    const manifests = await readManifestFile(join(root, renderedPath(overlay)))
    const named = (kind: string, name: string) =>
      manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)
    t.is(named('Deployment', 'eventing-engine'), undefined)
    t.is(named('Broker', 'default')?.metadata.annotations?.['eventing.knative.dev/broker.class'], 'Kafka')
    t.is(named('ConfigMap', 'kafka-broker-config')?.data?.['default.topic.replication.factor'], '3')
    const settings = named('ConfigMap', 'stampede')?.data
    t.is(settings?.['event-authentication'], 'oidc')
    t.is(settings?.['relay-replication'], '3')
    const triggers = manifests.filter(({ kind }) => kind === 'Trigger')
    t.true(triggers.length > 0)
    for (const { metadata, spec } of triggers) {
      const { ref, audience } = spec!['subscriber'] as { ref: { name: string }; audience: string }
      t.is(audience, `stampede/${ref.name}`, metadata.name)
    }
  })
}
