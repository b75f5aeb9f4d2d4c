/** The step `init`: checks the cluster; namespace, accounts, quotas, policies, settings, identity. */
import { applyStage, namespaceExists } from './apply.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { planDataKeys, staleCopies, storeDataKeys } from './data-keys.ts'
import { ofStage, renderOverlay } from './manifests.ts'
import { checkCluster, missingRights } from './preflight.ts'
import { ensureIdentity } from './secrets.ts'

export type InitOptions = {
  /** `key=value` for the ConfigMap `stampede`. */
  settings: readonly string[]
  /** Nothing of persons was ever stored under keys that are missing. */
  newDataKeys?: boolean
}

export async function init(context: DeployContext, options: InitOptions): Promise<void> {
  const { kubectl, say } = context
  await checkCluster(context)
  const missing = await missingRights(kubectl)
  if (missing.length > 0)
    throw new DeployError(
      `You may not do everything that is needed in the namespace ${namespace}: ${missing.join(', ')}. Ask whoever runs the cluster for the role "admin" there (and Knative's kinds), or use another --context.`,
    )
  say('You may do all that is needed.')
  const dataKeys = await planDataKeys(context, options.newDataKeys ?? false)
  const manifests = ofStage(await renderOverlay(kubectl, context.overlay), 'init')
  const withNamespace = manifests.some(({ kind }) => kind === 'Namespace') ? manifests : [ownNamespace, ...manifests]
  const settings = await mergedSettings(context, withNamespace, parseSettings(options.settings))
  const rest = withNamespace.filter((manifest) => !isSettings(manifest))
  await applyStage(context, 'init', [...rest, settings])
  // First: where a stored copy is taken over, the original stays until the other is there.
  await storeDataKeys(context, dataKeys)
  await ensureIdentity(context, (identity) => staleCopies(identity, dataKeys))
}

const ownNamespace: Manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }

const isSettings = ({ kind, metadata }: Manifest) => kind === 'ConfigMap' && metadata.name === 'stampede'

/** `durability=kafka` → { durability: 'kafka' } @throws DeployError */
export function parseSettings(settings: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    settings.map((setting) => {
      const match = /^([a-z][a-z0-9-]*)=(.*)$/s.exec(setting)
      if (!match) throw new DeployError(`--set takes key=value with a key such as log-level, not "${setting}".`)
      return [match[1], match[2]]
    }),
  )
}

/** What the repository says, changed by what was set with `--set` now or earlier (kept in an annotation). */
async function mergedSettings(
  context: DeployContext,
  manifests: readonly Manifest[],
  set: Record<string, string>,
): Promise<Manifest> {
  const base = manifests.find((manifest) => isSettings(manifest)) ?? {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'stampede', namespace },
    data: {},
  }
  const unknown = Object.keys(set).filter((key) => !(key in (base.data ?? {})))
  if (unknown.length > 0 && Object.keys(base.data ?? {}).length > 0)
    throw new DeployError(
      `There is no setting ${unknown.join(', ')}. There are: ${Object.keys(base.data ?? {}).join(', ')}.`,
    )
  const kept = await earlierSettings(context)
  const own = { ...kept, ...set }
  if (Object.keys(own).length === 0) return base
  context.say(
    `Settings that differ from the repository: ${Object.entries(own)
      .map(([key, value]) => `${key}=${value}`)
      .join(', ')}`,
  )
  return {
    ...base,
    metadata: {
      ...base.metadata,
      annotations: { ...base.metadata.annotations, [settingsAnnotation]: JSON.stringify(own) },
    },
    data: { ...base.data, ...own },
  }
}

const settingsAnnotation = 'stampede.io/settings'

async function earlierSettings(context: DeployContext): Promise<Record<string, string>> {
  if (!(await namespaceExists(context))) return {}
  const text = await context.kubectl.run([
    '-n',
    namespace,
    'get',
    'configmap',
    'stampede',
    '--ignore-not-found',
    '-o',
    String.raw`jsonpath={.metadata.annotations.stampede\.io/settings}`,
  ])
  try {
    return text.trim() === '' ? {} : (JSON.parse(text) as Record<string, string>)
  } catch {
    return {}
  }
}
