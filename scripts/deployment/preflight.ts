/** Looks at the cluster before anything is changed: is it there, what is installed, what may this user do? */
import { KubectlError, type Kubectl } from '../cluster/kubectl.ts'
import { kindsOf } from './api-kinds.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'

export type ClusterFacts = {
  kubernetes: string
  /** Versions where they can be read; `installed` where they cannot; undefined: not there. */
  serving: string | undefined
  eventing: string | undefined
  keda: string | undefined
  prometheus: string | undefined
  /** Kinds of the official Kafka components. */
  kafkaKinds: boolean
  /** Its pods run, so that a Broker of class Kafka becomes ready. */
  kafkaBroker: boolean
}

/** The oldest ones that the manifests are written for. */
export const leastVersions = { kubernetes: '1.31', serving: '1.17', eventing: '1.17' } as const

const apis = {
  serving: 'serving.knative.dev/v1',
  eventing: 'eventing.knative.dev/v1',
  sources: 'sources.knative.dev/v1',
  sinks: 'eventing.knative.dev/v1alpha1',
  keda: 'keda.sh/v1alpha1',
  prometheus: 'monitoring.coreos.com/v1',
} as const

export async function readFacts(kubectl: Kubectl): Promise<ClusterFacts> {
  const version = await kubectl.json<{ serverVersion?: { gitVersion?: string } }>(['version'])
  const kinds = await kindsOf(kubectl, Object.values(apis))
  const has = (api: keyof typeof apis, kind: string) => kinds.get(apis[api])?.has(kind) === true
  const [serving, eventing, keda, prometheus, kafkaBroker] = await Promise.all([
    has('serving', 'Service') ? installedVersion(kubectl, 'services.serving.knative.dev') : undefined,
    has('eventing', 'Broker') ? installedVersion(kubectl, 'brokers.eventing.knative.dev') : undefined,
    has('keda', 'ScaledObject') ? installedVersion(kubectl, 'scaledobjects.keda.sh') : undefined,
    has('prometheus', 'ServiceMonitor')
      ? installedVersion(kubectl, 'servicemonitors.monitoring.coreos.com')
      : undefined,
    kafkaBrokerRuns(kubectl),
  ])
  return {
    kubernetes: version.serverVersion?.gitVersion ?? 'unknown',
    serving,
    eventing,
    keda,
    prometheus,
    kafkaKinds: has('sources', 'KafkaSource') && has('sinks', 'KafkaSink'),
    kafkaBroker,
  }
}

async function installedVersion(kubectl: Kubectl, definition: string): Promise<string> {
  const label = String.raw`jsonpath={.metadata.labels.app\.kubernetes\.io/version}`
  const version = await kubectl.run(['get', 'crd', definition, '-o', label]).catch(() => '')
  return version.trim() === '' ? 'installed' : version.trim()
}

/** The ingress of the Kafka broker: without it nobody accepts an event. */
async function kafkaBrokerRuns(kubectl: Kubectl): Promise<boolean> {
  try {
    const text = await kubectl.run([
      '-n',
      'knative-eventing',
      'get',
      'deployment',
      'kafka-broker-receiver',
      '--ignore-not-found',
      '-o',
      'jsonpath={.status.availableReplicas}',
    ])
    return Number(text.trim()) > 0
  } catch (error) {
    // Who may not look gets the benefit of the doubt; the Broker's own readiness tells later.
    if (error instanceof KubectlError && error.failure === 'forbidden') return true
    if (error instanceof KubectlError && error.failure === 'not-found') return false
    throw error
  }
}

/** `major.minor` of `v1.34.4`, `1.20.0`; undefined for anything else. */
function majorMinor(version: string): [number, number] | undefined {
  const match = /^v?(\d+)\.(\d+)/.exec(version)
  return match ? [Number(match[1]), Number(match[2])] : undefined
}

export function isOlder(version: string, least: string): boolean {
  const one = majorMinor(version)
  const other = majorMinor(least)
  if (!one || !other) return false
  return one[0] < other[0] || (one[0] === other[0] && one[1] < other[1])
}

const installServing = 'https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/'
const installEventing = 'https://knative.dev/docs/install/yaml-install/eventing/install-eventing-with-yaml/'
const installKafka = 'https://knative.dev/docs/eventing/brokers/broker-types/kafka-broker/'

/** What stands against a deployment (problems) and what is worth knowing (notes). */
export function judge(facts: ClusterFacts, overlay: DeployContext['overlay']): { problems: string[]; notes: string[] } {
  const problems: string[] = []
  const notes: string[] = []
  if (facts.serving === undefined)
    problems.push(
      `Knative Serving is not installed (its kinds serving.knative.dev/v1 are missing). Install ${leastVersions.serving} or later: ${installServing}`,
    )
  if (facts.eventing === undefined)
    problems.push(
      `Knative Eventing is not installed (its kinds eventing.knative.dev/v1 are missing). Install ${leastVersions.eventing} or later: ${installEventing}`,
    )
  if (overlay !== 'local' && !(facts.kafkaKinds && facts.kafkaBroker))
    problems.push(
      `The Kafka broker of Knative ${facts.kafkaKinds ? 'is defined, but its data plane does not run' : 'is not installed'} (knative-eventing/kafka-broker-receiver). Install it (${installKafka}), or use --overlay local: an engine of this repository stands in for it.`,
    )
  for (const [name, version, least] of [
    ['Kubernetes', facts.kubernetes, leastVersions.kubernetes],
    ['Knative Serving', facts.serving, leastVersions.serving],
    ['Knative Eventing', facts.eventing, leastVersions.eventing],
  ] as const) {
    // Builds from source carry Go's numbering (0.x for 1.x).
    if (version !== undefined && !/^v?0\./.test(version) && isOlder(version, least))
      notes.push(`${name} ${version} is older than ${least}, which this was written for`)
  }
  if (facts.keda === undefined) notes.push('KEDA is not installed: consumers are not scaled by lag; all else works')
  if (facts.prometheus === undefined)
    notes.push('the Prometheus operator is not installed: the step monitoring does nothing')
  return { problems, notes }
}

const rights = [
  ['create', 'services.serving.knative.dev'],
  ['create', 'brokers.eventing.knative.dev'],
  ['create', 'triggers.eventing.knative.dev'],
  ['create', 'secrets'],
  ['create', 'configmaps'],
  ['create', 'serviceaccounts'],
  ['create', 'deployments.apps'],
  ['create', 'resourcequotas'],
  ['create', 'networkpolicies.networking.k8s.io'],
  ['get', 'pods'],
  ['get', 'pods/log'],
] as const

/** What this user may not do, as `verb resource`. */
export async function missingRights(kubectl: Kubectl): Promise<string[]> {
  const answers = await Promise.all(
    rights.map(async ([verb, resource]) => {
      const [name = '', subresource] = resource.split('/')
      const more = subresource === undefined ? [] : [`--subresource=${subresource}`]
      try {
        await kubectl.run(['auth', 'can-i', verb, name, ...more, '-n', namespace])
        return ''
      } catch (error) {
        // It says no by its exit code; anything on standard error is another trouble.
        if (error instanceof KubectlError && error.failure === 'failed' && error.exitCode === 1)
          return `${verb} ${resource}`
        throw error
      }
    }),
  )
  return answers.filter((answer) => answer !== '')
}

/** Says what was found. @throws DeployError with everything that stands against going on */
export async function checkCluster(context: DeployContext): Promise<ClusterFacts> {
  const { kubectl, say, overlay } = context
  const facts = await readFacts(kubectl)
  const shown = [
    `Kubernetes ${facts.kubernetes}`,
    `Knative Serving ${facts.serving ?? '–'}`,
    `Eventing ${facts.eventing ?? '–'}`,
    `KEDA ${facts.keda ?? '–'}`,
    `Prometheus operator ${facts.prometheus ?? '–'}`,
    `Kafka broker ${facts.kafkaBroker ? 'runs' : facts.kafkaKinds ? 'defined, does not run' : '–'}`,
  ]
  say(shown.join(' · '))
  const { problems, notes } = judge(facts, overlay)
  for (const note of notes) say(`Note: ${note}.`)
  if (problems.length > 0) throw new DeployError(problems.join('\n'))
  return facts
}
