/**
 * Pods read Secrets and settings when they start. A mark on the pod template that changes with them brings new pods when the step is
 * run again, and only then.
 */
import { createHash } from 'node:crypto'
import { dataKeysSecret, identitySecret } from '../cluster/identity.ts'
import { DeployError, commandLine, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'

const madeByInit = [identitySecret, dataKeysSecret]
const annotation = 'stampede.io/settings-version'

/** @throws DeployError when one of the Secrets is missing */
export async function settingsVersion(context: DeployContext, secrets: readonly string[]): Promise<string> {
  const { kubectl, dryRun } = context
  const lines = await kubectl.run([
    '-n',
    namespace,
    'get',
    'secrets,configmaps',
    '-l',
    'app.kubernetes.io/part-of=stampede',
    '--ignore-not-found',
    '-o',
    String.raw`jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`,
  ])
  const versions = lines.split('\n')
  const missing = secrets.filter((name) => !versions.some((line) => line.startsWith(`Secret/${name} `)))
  if (missing.length > 0 && !dryRun)
    throw new DeployError(
      `The Secret${missing.length === 1 ? '' : 's'} ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing. First: ${commandLine(context, missing.some((name) => madeByInit.includes(name)) ? 'init' : 'infra')}`,
    )
  const relevant = versions.filter(
    (line) => secrets.some((name) => line.startsWith(`Secret/${name} `)) || line.startsWith('ConfigMap/stampede '),
  )
  return createHash('sha256').update(relevant.sort().join('\n')).digest('hex').slice(0, 16)
}

/** A copy with the mark, for whatever has a pod template. */
export function withSettingsVersion(manifest: Manifest, version: string): Manifest {
  if (!isObject(manifest.spec?.['template'])) return manifest
  const copy = structuredClone(manifest)
  const template = copy.spec?.['template'] as { metadata?: { annotations?: Record<string, string> } }
  template.metadata = {
    ...template.metadata,
    annotations: { ...template.metadata?.annotations, [annotation]: version },
  }
  return copy
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
