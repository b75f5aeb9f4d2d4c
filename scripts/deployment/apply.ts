/** Applies the objects of a step: labelled, in an order that works, leaving out what this cluster has no kinds for. */
import { KubectlError } from '../cluster/kubectl.ts'
import { splitByKnown } from './api-kinds.ts'
import { DeployError, commandLine, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { groupOf, stageLabel, titleOf, type Stage } from './manifests.ts'

/** Without these the platform works all the same; why they are missing is worth a line. */
const optionalGroups: Record<string, string> = {
  'keda.sh': 'KEDA is not installed: consumers are not scaled by lag',
  'monitoring.coreos.com': 'the Prometheus operator is not installed: nothing collects the metrics',
  'networking.istio.io': 'Istio is not installed',
  'security.istio.io': 'Istio is not installed',
  'cert-manager.io': 'cert-manager is not installed',
}
const optionalKinds: Record<string, string> = {
  EventType: 'this Knative Eventing has no EventTypes of that version: the catalogue is not shown in the cluster',
  EventPolicy: 'this Knative Eventing has no EventPolicies: the broker lets every function publish',
}

const first = ['Namespace', 'PriorityClass', 'ServiceAccount', 'ConfigMap', 'Secret', 'Role', 'ClusterRole']

/** Applies and says what was applied. Returns the objects that were. @throws DeployError */
export async function applyStage(
  context: DeployContext,
  stage: Stage,
  manifests: readonly Manifest[],
): Promise<Manifest[]> {
  const { kubectl, say, dryRun, forceConflicts } = context
  const { known, unknown } = await splitByKnown(kubectl, manifests)
  for (const reason of reasonsOf(unknown)) say(`Left out ${reason}.`)
  const rank = ({ kind }: Manifest) => (first.indexOf(kind) + first.length + 1) % (first.length + 1)
  const sorted = known.map((manifest) => labelled(manifest, stage)).sort((one, other) => rank(one) - rank(other))
  if (sorted.length === 0) return []

  const absent = dryRun ? await absentNamespaces(context, sorted) : new Set<string>()
  const unchecked = sorted.filter(({ metadata }) => absent.has(metadata.namespace ?? ''))
  for (const manifest of unchecked) say(`would create ${titleOf(manifest)}`)
  if (unchecked.length > 0)
    say(`The namespace ${[...absent].join(', ')} is not there yet, so the server could not check these.`)
  const checked = sorted.filter((manifest) => !unchecked.includes(manifest))
  if (checked.length === 0) return sorted
  try {
    await kubectl.apply(toStream(checked), { forceConflicts, ...(dryRun ? { dryRun: 'server' as const } : {}) })
  } catch (error) {
    throw explained(context, stage, error)
  }
  const count = countsOf(checked)
  say(dryRun ? `would apply ${count}; the server accepts them` : `applied ${count}`)
  return sorted
}

export function labelled(manifest: Manifest, stage: Stage): Manifest {
  return {
    ...manifest,
    metadata: { ...manifest.metadata, labels: { ...manifest.metadata.labels, [stageLabel]: stage } },
  }
}

/** JSON documents in a YAML stream: no text is quoted in a way that another reader could take differently. */
export const toStream = (manifests: readonly object[]): string =>
  manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n')

export async function namespaceExists({ kubectl }: Pick<DeployContext, 'kubectl'>, name = namespace): Promise<boolean> {
  return (await kubectl.run(['get', 'namespace', name, '--ignore-not-found', '-o', 'name'])).trim() !== ''
}

async function absentNamespaces(context: DeployContext, manifests: readonly Manifest[]): Promise<Set<string>> {
  const absent = new Set<string>()
  for (const name of new Set(manifests.map(({ metadata }) => metadata.namespace)))
    if (name !== undefined && !(await namespaceExists(context, name))) absent.add(name)
  return absent
}

/** Throws for what cannot be left out. */
function reasonsOf(unknown: readonly Manifest[]): string[] {
  const reasons = new Map<string, string[]>()
  const needed: Manifest[] = []
  for (const manifest of unknown) {
    const reason = optionalGroups[groupOf(manifest)] ?? optionalKinds[manifest.kind]
    if (reason === undefined) needed.push(manifest)
    else reasons.set(reason, [...(reasons.get(reason) ?? []), titleOf(manifest)])
  }
  if (needed.length > 0) {
    const kinds = [...new Set(needed.map(({ apiVersion, kind }) => `${kind} (${apiVersion})`))]
    throw new DeployError(
      `This cluster does not know ${kinds.join(', ')}. Install what defines them: see the prerequisites in DEPLOYMENT.md.`,
    )
  }
  return [...reasons].map(([reason, titles]) => `${shorten(titles)}: ${reason}`)
}

function explained(context: DeployContext, stage: Stage, error: unknown): Error {
  if (!(error instanceof KubectlError)) return error as Error
  const again = commandLine(context, stage)
  if (error.failure === 'conflict')
    return new DeployError(
      `Somebody else changed fields that this step sets:\n${error.stderr.trim()}\nTo set them as the repository says: ${again} --force-conflicts`,
    )
  if (error.failure === 'not-found' && error.stderr.includes(`namespaces "${namespace}" not found`))
    return new DeployError(`The namespace ${namespace} is not there. First: ${commandLine(context, 'init')}`)
  return error
}

function countsOf(manifests: readonly Manifest[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of manifests) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
}

const shorten = (titles: readonly string[]) =>
  titles.length > 4 ? `${titles.slice(0, 3).join(', ')} and ${titles.length - 3} more` : titles.join(', ')
