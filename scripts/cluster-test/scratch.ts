/** Manifests in namespaces of their own, which exist only while they are checked: a dry run needs its namespace to be there. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import type { Kubectl } from '../cluster/kubectl.ts'
import type { Manifest } from '../cluster/manifest.ts'

/** Own namespaces; those of Knative are where they are. */
const owned = ['stampede', 'infra'] as const

export type Scratch = {
  /** A copy for the scratch namespaces, references included. */
  move(manifest: Manifest): Manifest
  /** Where `stampede` is now. */
  namespace: string
  remove(): Promise<void>
}

export async function createScratch(kubectl: Kubectl): Promise<Scratch> {
  const suffix = randomBytes(4).toString('hex')
  const names = new Map<unknown, string>(owned.map((name) => [name, `${name}-check-${suffix}`]))
  const documents = [...names.values()].map((name) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: { 'app.kubernetes.io/part-of': 'stampede-check', 'pod-security.kubernetes.io/enforce': 'restricted' },
    },
  }))
  const remove = async () => {
    await kubectl.run(['delete', 'namespace', ...names.values(), '--ignore-not-found', '--wait=false'])
  }
  try {
    await kubectl.apply(documents.map((document) => stringify(document)).join('---\n'))
    await Promise.all([...names.values()].map((name) => waitForAccount(kubectl, name)))
  } catch (error) {
    await remove().catch(() => undefined)
    throw error
  }
  return { namespace: names.get('stampede')!, move: (manifest) => moved(manifest, names) as Manifest, remove }
}

function moved(value: unknown, names: ReadonlyMap<unknown, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => moved(item, names))
  if (typeof value !== 'object' || value === null) return value
  const isNamespace = (value as { kind?: unknown }).kind === 'Namespace'
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]): [string, unknown] => {
      if (key === 'namespace') return [key, names.get(inner) ?? inner]
      if (isNamespace && key === 'metadata') {
        const metadata = inner as Manifest['metadata']
        return [key, { ...metadata, name: names.get(metadata.name) ?? metadata.name }]
      }
      return [key, moved(inner, names)]
    }),
  )
}

/** A pod is refused as long as its namespace has no account `default`, which a controller makes. */
async function waitForAccount(kubectl: Kubectl, namespace: string): Promise<void> {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const found = await kubectl.run([
      '-n',
      namespace,
      'get',
      'serviceaccount',
      'default',
      '--ignore-not-found',
      '-o',
      'name',
    ])
    if (found.trim() !== '') return
    await sleep(500)
  }
  throw new Error(`The namespace ${namespace} has no account after 30 s. Does the controller manager run?`)
}
