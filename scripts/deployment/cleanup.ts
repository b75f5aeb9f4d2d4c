/**
 * The step `cleanup`: takes away what `deploy` made, found by its label, so also after a run that ended half way. Data volumes, the
 * Secrets that open them, and the keys of personal data stay unless `data` is given.
 */
import { dataKeysSecret } from '../cluster/identity.ts'
import { KubectlError } from '../cluster/kubectl.ts'
import { formatDuration } from '../lib/terminal.ts'
import { DeployError, commandLine, namespace, type DeployContext } from './context.ts'
import { stageLabel } from './manifests.ts'

export type CleanupOptions = { data: boolean }

type Found = { resource: string; namespace: string; name: string; stage: string }

/** In the order of their going: nothing is left without what takes it away. */
const groups: readonly (readonly string[])[] = [
  [
    'podmonitors.monitoring.coreos.com',
    'servicemonitors.monitoring.coreos.com',
    'prometheusrules.monitoring.coreos.com',
  ],
  ['domainmappings.serving.knative.dev', 'clusterdomainclaims.networking.internal.knative.dev'],
  [
    'pingsources.sources.knative.dev',
    'kafkasources.sources.knative.dev',
    'apiserversources.sources.knative.dev',
    'triggers.eventing.knative.dev',
    'eventpolicies.eventing.knative.dev',
    'eventtypes.eventing.knative.dev',
  ],
  ['services.serving.knative.dev'],
  ['scaledobjects.keda.sh', 'triggerauthentications.keda.sh'],
  ['brokers.eventing.knative.dev', 'kafkasinks.eventing.knative.dev'],
  ['deployments.apps', 'statefulsets.apps', 'jobs.batch'],
  ['services', 'poddisruptionbudgets.policy', 'configmaps', 'secrets', 'serviceaccounts'],
  [
    'networkpolicies.networking.k8s.io',
    'rolebindings.rbac.authorization.k8s.io',
    'roles.rbac.authorization.k8s.io',
    'resourcequotas',
    'limitranges',
  ],
  [
    'clusterrolebindings.rbac.authorization.k8s.io',
    'clusterroles.rbac.authorization.k8s.io',
    'priorityclasses.scheduling.k8s.io',
  ],
]

/** Without them a volume is a box without a key. */
const isDataSecret = ({ resource, stage }: Found) => resource === 'secrets' && stage === 'infra'

const isDataKeys = ({ resource, namespace: where, name }: Found) =>
  resource === 'secrets' && where === namespace && name === dataKeysSecret

/** By its name: somebody may have put it back without the label, and its namespace would take it along. */
async function findDataKeys({ kubectl }: DeployContext): Promise<Found[]> {
  const text = await kubectl.run(['-n', namespace, 'get', 'secret', dataKeysSecret, '--ignore-not-found', '-o', 'name'])
  return text.trim() === '' ? [] : [{ resource: 'secrets', namespace, name: dataKeysSecret, stage: 'init' }]
}

export async function cleanup(context: DeployContext, options: CleanupOptions): Promise<void> {
  const { kubectl, say, confirm, dryRun, now } = context
  const labelled = await findAll(context, groups.flat())
  const keys = await findDataKeys(context)
  const found = [...labelled.filter((thing) => !isDataKeys(thing)), ...keys]
  const namespaces = await findAll(context, ['namespaces'])
  const volumes = await findVolumes(context, namespaces)
  const keepVolumes = !options.data && volumes.length > 0
  // A database outside of the cluster has no volume here, and still holds what they open.
  const keepKeys = !options.data && keys.length > 0
  const doomed = found.filter((thing) => !(keepVolumes && isDataSecret(thing)) && !(keepKeys && isDataKeys(thing)))
  const doomedNamespaces = keepVolumes ? [] : namespaces.filter(({ name }) => !(keepKeys && name === namespace))
  const doomedVolumes = keepVolumes ? [] : volumes
  const kept = [
    ...(keepVolumes ? [`${volumes.length} data volumes, their Secrets and namespaces`] : []),
    ...(keepKeys ? [`the keys of personal data (Secret ${dataKeysSecret}) and the namespace ${namespace}`] : []),
  ]
  if (doomed.length + doomedNamespaces.length + doomedVolumes.length === 0) {
    say(kept.length === 0 ? 'Nothing of Stampede is left here.' : 'Nothing else of Stampede is left here.')
    if (kept.length > 0) say(`Kept: ${kept.join('; ')} (--data deletes them).`)
    return
  }
  say(
    `To be deleted: ${countsOf(doomed)}${doomedNamespaces.length > 0 ? `; namespaces ${doomedNamespaces.map(({ name }) => name).join(', ')}` : ''}.`,
  )
  if (doomedVolumes.length > 0) say(`With all data of ${doomedVolumes.length} volumes.`)
  if (options.data && keys.length > 0)
    say(
      `With the keys of personal data (Secret ${dataKeysSecret}): what a database or a backup elsewhere holds of persons cannot be read again without a copy of them.`,
    )
  if (kept.length > 0) say(`Kept: ${kept.join('; ')} (--data deletes them).`)
  if (dryRun) return
  const losses = [
    ...(doomedVolumes.length > 0 ? ['all its data'] : []),
    ...(options.data && keys.length > 0 ? ['the keys of personal data'] : []),
  ]
  if (!(await confirm(`Delete this${losses.map((loss) => ` and ${loss}`).join('')}?`)))
    throw new DeployError('Nothing was deleted.')

  const beganMs = now()
  for (const group of groups)
    await removeGroup(
      context,
      doomed.filter(({ resource }) => group.includes(resource)),
    )
  await awaitPods(
    context,
    namespaces.map(({ name }) => name),
  )
  for (const { namespace: where, name } of doomedVolumes)
    await kubectl.run(['-n', where, 'delete', 'persistentvolumeclaim', name, '--ignore-not-found', '--timeout=120s'], {
      timeoutMs: 130_000,
    })
  for (const { name } of doomedNamespaces)
    await kubectl.run(['delete', 'namespace', name, '--ignore-not-found', `--timeout=${seconds(context)}s`], {
      timeoutMs: context.timeoutMs + 10_000,
    })
  say(
    `Gone after ${formatDuration(now() - beganMs)}.${kept.length === 0 ? '' : ` Kept: ${kept.join('; ')}.`} Topics in Kafka, tables and keys in services outside of the cluster are untouched.`,
  )
}

const seconds = ({ timeoutMs }: DeployContext) => Math.round(timeoutMs / 1_000)

async function removeGroup(context: DeployContext, things: readonly Found[]): Promise<void> {
  const { kubectl, say } = context
  if (things.length === 0) return
  const places = new Map<string, Found[]>()
  for (const thing of things) {
    const key = `${thing.namespace} ${thing.resource}`
    places.set(key, [...(places.get(key) ?? []), thing])
  }
  for (const [, some] of places) {
    const { namespace: where, resource } = some[0] as Found
    say(`deleting ${some.length} ${resource} …`)
    try {
      await kubectl.run(
        [
          ...(where === '' ? [] : ['-n', where]),
          'delete',
          resource,
          ...some.map(({ name }) => name),
          '--ignore-not-found',
          `--timeout=${seconds(context)}s`,
        ],
        { timeoutMs: context.timeoutMs + 10_000 },
      )
    } catch (error) {
      if (error instanceof KubectlError && (error.failure === 'timeout' || /timed out/.test(error.stderr)))
        throw new DeployError(
          `${resource} ${some.map(({ name }) => name).join(', ')} did not go within ${seconds(context)} s. Something holds it: kubectl ${where === '' ? '' : `-n ${where} `}get ${resource} -o yaml (finalizers). Then again: ${commandLine(context, 'cleanup')}`,
        )
      throw error
    }
  }
}

/** Objects with our label; kinds that the cluster does not know have none. */
async function findAll({ kubectl }: DeployContext, resources: readonly string[]): Promise<Found[]> {
  const lists = await Promise.all(
    resources.map(async (resource) => {
      try {
        const text = await everywhere(kubectl, [
          'get',
          resource,
          '-l',
          stageLabel,
          '-o',
          String.raw`jsonpath={range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.metadata.labels.stampede\.io/stage}{"\t"}{.metadata.ownerReferences[0].kind}{"\n"}{end}`,
        ])
        return (
          text
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => line.split('\t'))
            // What belongs to something else inherits its labels, and goes with it.
            .filter(([, , , owner = '']) => owner === '')
            .map(([where = '', name = '', stage = '']): Found => ({ resource, namespace: where, name, stage }))
        )
      } catch (error) {
        if (error instanceof KubectlError && (error.failure === 'not-found' || error.failure === 'forbidden')) return []
        throw error
      }
    }),
  )
  return lists.flat()
}

/** In all namespaces, or only in the platform's for somebody who may not look further. */
async function everywhere(kubectl: DeployContext['kubectl'], args: readonly string[]): Promise<string> {
  try {
    return await kubectl.run([...args, '-A'])
  } catch (error) {
    if (error instanceof KubectlError && error.failure === 'forbidden') return kubectl.run(['-n', namespace, ...args])
    throw error
  }
}

async function findVolumes({ kubectl }: DeployContext, namespaces: readonly Found[]): Promise<Found[]> {
  const found: Found[] = []
  for (const { name: where } of namespaces) {
    const text = await kubectl.run(['-n', where, 'get', 'persistentvolumeclaims', '-o', 'name', '--ignore-not-found'])
    for (const line of text.split('\n'))
      if (line !== '')
        found.push({
          resource: 'persistentvolumeclaims',
          namespace: where,
          name: line.slice(line.indexOf('/') + 1),
          stage: 'infra',
        })
  }
  return found
}

/** Pods of functions go on for a while after their Service is gone: they finish what they began. */
async function awaitPods(context: DeployContext, namespaces: readonly string[]): Promise<void> {
  const { kubectl, say, now, sleep, timeoutMs } = context
  const beganMs = now()
  let shown = -1
  for (;;) {
    let left = 0
    for (const where of new Set([namespace, ...namespaces])) {
      const text = await kubectl.run(['-n', where, 'get', 'pods', '-o', 'name', '--ignore-not-found'])
      left += text.split('\n').filter((line) => line !== '').length
    }
    if (left === 0) return
    if (left !== shown) say(`${left} pods finish their work …`)
    shown = left
    if (now() - beganMs > timeoutMs)
      throw new DeployError(
        `${left} pods are still there after ${formatDuration(timeoutMs)}: kubectl -n ${namespace} get pods`,
      )
    await sleep(2_000)
  }
}

function countsOf(things: readonly Found[]): string {
  const counts = new Map<string, number>()
  for (const { resource } of things) counts.set(resource, (counts.get(resource) ?? 0) + 1)
  return (
    [...counts]
      .map(
        ([resource, count]) =>
          `${count} ${resource === 'services' || resource.startsWith('services.') ? resource : resource.split('.')[0]}`,
      )
      .join(', ') || 'nothing else'
  )
}
