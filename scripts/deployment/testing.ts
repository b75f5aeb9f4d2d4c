/** A cluster in memory for the tests of the steps: objects that were applied can be read again, every call is kept. */
import { KubectlError, type Kubectl } from '../cluster/kubectl.ts'
import type { DeployContext } from './context.ts'
import { parseManifests, type Manifest } from '../cluster/manifest.ts'

export type Call = { args: readonly string[]; input: string | undefined; dryRun: boolean }

type Answer = string | Error | undefined | ((args: readonly string[]) => string | Error | undefined)

export type MemoryCluster = {
  kubectl: Kubectl
  calls: Call[]
  /** By `Kind/name`, or `Kind/namespace/name` outside of the platform's namespace. */
  objects: Map<string, Manifest & { status?: unknown }>
  /** What kinds the server knows, by API version. */
  kinds: Map<string, string[]>
  /** The first pattern that fits the arguments answers, before anything else is looked at. */
  answers: [RegExp, Answer][]
}

export const failure = (stderr: string, exitCode = 1) =>
  new KubectlError(['get'], { stdout: '', stderr, exitCode }, 1_000)
const notFound = (what: string) => failure(`Error from server (NotFound): ${what} not found`)

const usualKinds = {
  v1: ['Namespace', 'ConfigMap', 'Secret', 'Service', 'ServiceAccount', 'ResourceQuota', 'LimitRange'],
  'batch/v1': ['Job'],
  'apps/v1': ['Deployment', 'StatefulSet'],
  'policy/v1': ['PodDisruptionBudget'],
  'networking.k8s.io/v1': ['NetworkPolicy'],
  'rbac.authorization.k8s.io/v1': ['Role', 'RoleBinding'],
  'serving.knative.dev/v1': ['Service'],
  'serving.knative.dev/v1beta1': ['DomainMapping'],
  'networking.internal.knative.dev/v1alpha1': ['ClusterDomainClaim'],
  'eventing.knative.dev/v1': ['Broker', 'Trigger'],
  'sources.knative.dev/v1': ['KafkaSource', 'PingSource'],
  'eventing.knative.dev/v1alpha1': ['KafkaSink', 'EventPolicy'],
  'keda.sh/v1alpha1': ['ScaledObject'],
  'monitoring.coreos.com/v1': ['ServiceMonitor', 'PodMonitor'],
}

/** `overlays`: YAML by the end of the folder's path, for example `overlays/local`. */
export function memoryCluster(overlays: Record<string, string>): MemoryCluster {
  const calls: Call[] = []
  const objects: MemoryCluster['objects'] = new Map()
  const kinds = new Map<string, string[]>(Object.entries(usualKinds))
  const answers: MemoryCluster['answers'] = []

  const run: Kubectl['run'] = async (args, options = {}) => {
    const dryRun = args.some((arg) => arg.startsWith('--dry-run'))
    calls.push({ args, input: options.input, dryRun })
    const line = args.join(' ')
    for (const [pattern, answer] of answers) {
      if (!pattern.test(line)) continue
      const given = typeof answer === 'function' ? answer(args) : answer
      if (given instanceof Error) throw given
      if (given !== undefined) return given
    }
    return answerOf(args)
  }
  const answerOf = (args: readonly string[]): string => {
    const last = args.at(-1) ?? ''
    if (args[0] === 'version') return '{"serverVersion":{"gitVersion":"v1.34.4"}}'
    if (args[0] === 'kustomize') {
      const found = Object.entries(overlays).find(([folder]) => last.endsWith(folder))
      if (!found) throw failure(`no such folder ${last}`)
      return found[1]
    }
    if (args[0] === 'auth') return 'yes'
    if (args[0] === 'get' && args[1] === '--raw') {
      const known = kinds.get(last.replace(/^\/apis?\//, ''))
      if (!known) throw notFound(last)
      return JSON.stringify({ resources: known.map((kind) => ({ kind })) })
    }
    if (args[0] === 'get' && args[1] === 'namespace')
      return objects.has(`Namespace/${args[2]}`) ? `namespace/${args[2]}` : ''
    if (line(args, 'get', 'secret') && args.includes('json')) {
      const place = args[1] === 'stampede' ? '' : `${args[1]}/`
      const found = objects.get(`Secret/${place}${args[4]}`)
      if (!found) throw notFound(String(args[4]))
      return JSON.stringify(found)
    }
    if (line(args, 'get', 'secrets,configmaps'))
      return [...objects.keys()]
        .filter((key) => /^(Secret|ConfigMap)\/[^/]+$/.test(key))
        .map((key) => `${key} uid ${JSON.stringify(objects.get(key)?.data).length}`)
        .join('\n')
    if (args.includes('json')) return '{"items":[]}'
    return ''
  }
  const line = (args: readonly string[], verb: string, what: string) =>
    args[0] === '-n' && args[2] === verb && args[3] === what

  const kubectl: Kubectl = {
    run,
    json: async <T>(args: readonly string[]) => JSON.parse(await run([...args, '-o', 'json'])) as T,
    async apply(manifests, { dryRun, forceConflicts = false } = {}) {
      await run(
        ['apply', ...(dryRun ? [`--dry-run=${dryRun}`] : []), ...(forceConflicts ? ['--force-conflicts'] : [])],
        {
          input: manifests,
        },
      )
      if (dryRun) return ''
      for (const object of parseManifests(manifests)) {
        const place = object.metadata.namespace
        objects.set(
          `${object.kind}/${place === undefined || place === 'stampede' ? '' : `${place}/`}${object.metadata.name}`,
          object,
        )
      }
      return ''
    },
  }
  return { kubectl, calls, objects, kinds, answers }
}

/** The decoded values; empty when there is none. */
export const secretOf = ({ objects }: MemoryCluster, name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(objects.get(`Secret/${name}`)?.data ?? {}).map(([key, value]) => [
      key,
      Buffer.from(value, 'base64').toString(),
    ]),
  )

/** As a person would with kubectl create: without labels. */
export function storeSecret({ objects }: MemoryCluster, name: string, values: Record<string, string>): void {
  const data = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  )
  objects.set(`Secret/${name}`, { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data })
}

/** A context with a clock that moves with each pause. */
export function testContext(cluster: Pick<MemoryCluster, 'kubectl'>, rest: Partial<DeployContext> = {}) {
  const said: string[] = []
  let nowMs = 1_000_000
  const context: DeployContext = {
    kubectl: cluster.kubectl,
    connection: {},
    overlay: 'local',
    dryRun: false,
    forceConflicts: false,
    timeoutMs: 60_000,
    say: (text) => void said.push(text),
    confirm: () => Promise.resolve(true),
    environment: {},
    now: () => nowMs,
    async sleep(durationMs) {
      nowMs += durationMs
    },
    ...rest,
  }
  return { context, said }
}

/** Calls that change something. */
export const changes = ({ calls }: MemoryCluster): readonly (readonly string[])[] =>
  calls
    .filter(
      ({ args, dryRun }) =>
        !dryRun &&
        ['apply', 'delete', 'patch', 'create', 'label'].some((verb) => args.includes(verb)) &&
        args[0] !== 'auth',
    )
    .map(({ args }) => args)
