/** The step `status`: what runs, in one page. Reads only. */
import { KubectlError, openKubeApi } from '../cluster/kubectl.ts'
import { findLagSource } from '../observation/lag.ts'
import { namespaceExists } from './apply.ts'
import { commandLine, namespace, type DeployContext } from './context.ts'
import { problemOfPod, type Pod } from './pods.ts'
import { readFacts } from './preflight.ts'
import { readinessOf, type LiveObject } from './readiness.ts'
import { tableOf } from './table.ts'

type Scaler = {
  metadata: { labels?: Record<string, string> }
  status?: { desiredScale?: number; actualScale?: number }
}
type Traffic = { revisionName?: string; percent?: number; latestRevision?: boolean; tag?: string }
type Event = {
  lastTimestamp?: string
  reason?: string
  message?: string
  involvedObject?: { kind?: string; name?: string }
}

export type PlatformStatus = {
  functions: {
    name: string
    ready: boolean
    why?: string
    url?: string
    traffic: string
    pods: string
    desired: number
    actual: number
  }[]
  eventing: { name: string; kind: string; ready: boolean; why?: string }[]
  lag: Record<string, number> | undefined
  infra: { name: string; state: string }[]
  warnings: string[]
}

const serviceLabel = 'serving.knative.dev/service'
const recentMs = 15 * 60_000
const shownWarnings = 10

/** Prints the page on standard output. Returns what is on it; undefined when nothing is deployed. */
export async function status(
  context: DeployContext,
  print: (line: string) => void,
): Promise<PlatformStatus | undefined> {
  const facts = await readFacts(context.kubectl)
  print(
    `Kubernetes ${facts.kubernetes} · Serving ${facts.serving ?? '–'} · Eventing ${facts.eventing ?? '–'} · KEDA ${facts.keda ?? '–'}`,
  )
  if (!(await namespaceExists(context))) {
    print(`Nothing is deployed: there is no namespace ${namespace}. To deploy: ${commandLine(context, 'all')}`)
    return undefined
  }
  const found = await readStatus(context)
  for (const line of pageOf(found)) print(line)
  return found
}

async function readStatus(context: DeployContext): Promise<PlatformStatus> {
  const { kubectl } = context
  const list = async <T>(resource: string, place = namespace): Promise<T[]> => {
    try {
      return (await kubectl.json<{ items: T[] }>(['-n', place, 'get', resource])).items
    } catch (error) {
      // A kind that the cluster does not have, or that this user may not see, has no objects here.
      if (error instanceof KubectlError && (error.failure === 'not-found' || error.failure === 'forbidden')) return []
      throw error
    }
  }
  const [services, scalers, pods, deployments, brokers, triggers, sources, scaled, sets, events, secrets] =
    await Promise.all([
      list<LiveObject>('services.serving.knative.dev'),
      list<Scaler>('podautoscalers.autoscaling.internal.knative.dev'),
      list<Pod>('pods'),
      list<LiveObject>('deployments.apps'),
      list<LiveObject>('brokers.eventing.knative.dev'),
      list<LiveObject>('triggers.eventing.knative.dev'),
      list<LiveObject>('kafkasources.sources.knative.dev'),
      list<LiveObject>('scaledobjects.keda.sh'),
      list<LiveObject>('statefulsets.apps', 'infra'),
      list<Event>('events'),
      kubectl.run(['-n', namespace, 'get', 'secrets', '-o', 'name']).catch(() => ''),
    ])
  const engines = deployments.filter(({ metadata }) => metadata.name.startsWith('eventing-engine'))
  return {
    functions: services.map((service) => functionRow(service, scalers, pods)),
    eventing: [...engines, ...brokers, ...triggers, ...sources, ...scaled].map(stateOf),
    lag: await readLag(context),
    infra: [
      ...sets.map((set) => {
        const { ready, why } = stateOf(set)
        return { name: set.metadata.name, state: ready ? 'ready' : (why ?? 'not ready') }
      }),
      ...['stampede-redis', 'stampede-kafka', 'stampede-database', 'stampede-identity', 'stampede-data-keys'].map(
        (name) => ({
          name: `Secret ${name}`,
          state: secrets.includes(`secret/${name}\n`) ? 'there' : 'missing',
        }),
      ),
    ],
    warnings: [
      ...pods.map((pod) => problemOfPod(pod)).filter((problem) => problem !== undefined),
      ...warningsOf(events, context.now()),
    ],
  }
}

const stateOf = (object: LiveObject): PlatformStatus['eventing'][number] => {
  const verdict = readinessOf(object)
  const base = { name: object.metadata.name, kind: object.kind, ready: verdict.ready }
  return verdict.ready ? base : { ...base, why: verdict.why }
}

function functionRow(
  service: LiveObject,
  scalers: readonly Scaler[],
  pods: readonly Pod[],
): PlatformStatus['functions'][number] {
  const { name } = service.metadata
  const { ready, why } = stateOf(service)
  const own = pods.filter(({ metadata }) => metadata.labels?.[serviceLabel] === name)
  const isReady = ({ status: state }: Pod) =>
    state?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True')
  const scales = scalers
    .filter(({ metadata }) => metadata.labels?.[serviceLabel] === name)
    .map((one) => one.status ?? {})
  // Negative: the autoscaler has not decided yet.
  const sum = (key: 'desiredScale' | 'actualScale') =>
    scales.reduce((total, one) => total + Math.max(0, one[key] ?? 0), 0)
  const traffic = (service.status?.['traffic'] ?? []) as Traffic[]
  const url = service.status?.['url'] as string | undefined
  return {
    name,
    ready,
    ...(why === undefined ? {} : { why }),
    ...(url === undefined ? {} : { url }),
    traffic: traffic
      .map(
        ({ revisionName = '?', percent, tag }) =>
          `${revisionName}${percent === undefined ? '' : ` ${percent} %`}${tag === undefined ? '' : ` (${tag})`}`,
      )
      .join(', '),
    pods: `${own.filter((pod) => isReady(pod) === true).length}/${own.length}`,
    desired: sum('desiredScale'),
    actual: sum('actualScale'),
  }
}

async function readLag({ connection, kubectl }: DeployContext): Promise<Record<string, number> | undefined> {
  const api = await openKubeApi(connection).catch(() => undefined)
  if (api === undefined) return undefined
  try {
    const source = await findLagSource(api, namespace)
    const { items } = await kubectl.json<{ items: Parameters<typeof source.read>[0][number][] }>([
      '-n',
      namespace,
      'get',
      'pods',
    ])
    return await source.read(items)
  } catch {
    // Lag is known where the engine or KEDA runs; the page says so.
    return undefined
  } finally {
    await api.close()
  }
}

function warningsOf(events: readonly (Event & { type?: string })[], nowMs: number): string[] {
  return events
    .filter(({ type, lastTimestamp }) => type === 'Warning' && nowMs - Date.parse(lastTimestamp ?? '') < recentMs)
    .sort((one, other) => Date.parse(other.lastTimestamp ?? '') - Date.parse(one.lastTimestamp ?? ''))
    .slice(0, shownWarnings)
    .map(
      ({ lastTimestamp = '', reason, message, involvedObject = {} }) =>
        `${lastTimestamp.slice(11, 19)} ${involvedObject.kind}/${involvedObject.name} ${reason}: ${(message ?? '').split('\n')[0]?.slice(0, 160)}`,
    )
}

export function pageOf({ functions, eventing, lag, infra, warnings }: PlatformStatus): string[] {
  const lines: string[] = ['']
  lines.push(
    ...tableOf(
      ['FUNCTION', 'READY', 'PODS', 'DESIRED', 'ACTUAL', 'TRAFFIC', 'URL'],
      functions.map(({ name, ready, pods, desired, actual, traffic, url = '' }) => [
        name,
        ready ? 'yes' : 'no',
        pods,
        String(desired),
        String(actual),
        traffic,
        url,
      ]),
    ),
  )
  if (functions.length === 0) lines.push('(no functions: scripts/deploy services)')
  for (const { name, why } of functions) if (why !== undefined) lines.push(`  ${name}: ${why}`)
  const sick = eventing.filter(({ ready }) => !ready)
  lines.push('', ...tableOf(['EVENTING', 'READY', 'OF'], countsByKind(eventing)))
  for (const { kind, name, why } of sick) lines.push(`  ${kind}/${name}: ${why ?? 'not ready'}`)
  lines.push('', 'LAG')
  const consumers = Object.entries(lag ?? {})
  if (lag === undefined) lines.push('  not known: neither the engine nor KEDA tells it')
  else if (consumers.every(([, count]) => count === 0)) lines.push(`  none (${consumers.length} consumers)`)
  else for (const [consumer, count] of consumers) if (count > 0) lines.push(`  ${consumer}: ${count}`)
  lines.push(
    '',
    ...tableOf(
      ['INFRA', 'STATE'],
      infra.map(({ name, state }) => [name, state]),
    ),
  )
  if (warnings.length > 0)
    lines.push('', 'WARNINGS of the last 15 minutes', ...warnings.map((warning) => `  ${warning}`))
  return lines
}

function countsByKind(objects: PlatformStatus['eventing']): string[][] {
  const kinds = [...new Set(objects.map(({ kind }) => kind))]
  return kinds.map((kind) => {
    const own = objects.filter((object) => object.kind === kind)
    return [kind, String(own.filter(({ ready }) => ready).length), String(own.length)]
  })
}
