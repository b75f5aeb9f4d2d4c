/** The step `eventing`: with the overlay `local` the engine of this repository, otherwise Knative's own Kafka components. */
import { applyStage } from './apply.ts'
import { namespace, DeployError, type DeployContext } from './context.ts'
import { imagesFor, type ImageOptions } from './function-images.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { reportLeftovers } from './leftovers.ts'
import { ofStage, ownImagesOf, renderOverlay, withImages } from './manifests.ts'
import { explainPods } from './pods.ts'
import { readFacts } from './preflight.ts'
import { readSecret } from '../cluster/identity.ts'
import type { LiveObject } from './readiness.ts'
import { settingsVersion, withSettingsVersion } from './settings-version.ts'
import { waitUntilReady, type ReadyThing } from './wait.ts'

/** What says by itself whether it is ready. */
const resources: Record<string, string> = {
  Broker: 'brokers.eventing.knative.dev',
  Trigger: 'triggers.eventing.knative.dev',
  KafkaSource: 'kafkasources.sources.knative.dev',
  PingSource: 'pingsources.sources.knative.dev',
  ApiServerSource: 'apiserversources.sources.knative.dev',
  KafkaSink: 'kafkasinks.eventing.knative.dev',
}
/** These wait for a Service that the next step makes. */
const waitForSubscribers = new Set(['Trigger', 'KafkaSource', 'PingSource', 'ApiServerSource'])

export async function eventing(context: DeployContext, options: ImageOptions): Promise<void> {
  const { kubectl, overlay } = context
  const rendered = ofStage(await renderOverlay(kubectl, overlay), 'eventing')
  if (overlay !== 'local') await requireKafkaBroker(context)
  const version = await settingsVersion(context, ['stampede-identity', 'stampede-kafka'])
  const brokers = (await readSecret(kubectl, namespace, 'stampede-kafka'))?.['brokers']
  const images = await imagesFor(context, ownImagesOf(rendered), options)
  const manifests = withImages(brokers === undefined ? rendered : withBrokers(rendered, brokers), images).map(
    (manifest) => withSettingsVersion(manifest, version),
  )
  const applied = await applyStage(context, 'eventing', manifests)
  // In the overlay `local` the engine works from a ConfigMap.
  if (overlay !== 'local') await reportOldConsumers(context, applied)
  await waitUntilReady(context, await thingsToAwait(context, applied), {
    explain: ({ resource, name }, object) =>
      resource === 'deployments.apps'
        ? explainPods(kubectl, selectorOf(object))
        : Promise.resolve([`more: kubectl -n ${namespace} get ${resource} ${name} -o yaml`]),
  })
}

async function requireKafkaBroker(context: DeployContext): Promise<void> {
  const facts = await readFacts(context.kubectl)
  if (facts.kafkaKinds && facts.kafkaBroker) return
  throw new DeployError(
    `The overlay ${context.overlay} needs Knative's Kafka broker, and its data plane does not run here (knative-eventing/kafka-broker-receiver). Install it: https://knative.dev/docs/eventing/brokers/broker-types/kafka-broker/, or use --overlay local.`,
  )
}

/** One that was renamed delivers everything a second time under its old name. */
async function reportOldConsumers(context: DeployContext, applied: readonly Manifest[]): Promise<void> {
  for (const kind of new Set(applied.map((manifest) => manifest.kind)))
    if (waitForSubscribers.has(kind))
      await reportLeftovers(
        context,
        resources[kind]!,
        applied.filter((manifest) => manifest.kind === kind).map(({ metadata }) => metadata.name),
      )
}

async function thingsToAwait(context: DeployContext, applied: readonly Manifest[]): Promise<ReadyThing[]> {
  const deployments = applied.filter(({ kind }) => kind === 'Deployment')
  const things = deployments.map(({ metadata }) => ({ resource: 'deployments.apps', name: metadata.name }))
  // In the overlay `local` the engine works from these objects; nobody else looks at them.
  if (context.overlay === 'local') return things
  const subscribers = await deployedFunctions(context)
  const late: string[] = []
  for (const manifest of applied) {
    const resource = resources[manifest.kind]
    if (resource === undefined) continue
    const subscriber = subscriberOf(manifest)
    if (waitForSubscribers.has(manifest.kind) && subscriber !== undefined && !subscribers.has(subscriber))
      late.push(manifest.metadata.name)
    else things.push({ resource, name: manifest.metadata.name })
  }
  if (late.length > 0)
    context.say(`${late.length} Triggers and sources become ready when their functions are there: ${late.join(', ')}`)
  return things
}

async function deployedFunctions({ kubectl, dryRun }: DeployContext): Promise<Set<string>> {
  if (dryRun) return new Set()
  const { items } = await kubectl.json<{ items: { metadata: { name: string } }[] }>([
    '-n',
    namespace,
    'get',
    'services.serving.knative.dev',
  ])
  return new Set(items.map(({ metadata }) => metadata.name))
}

function subscriberOf({ spec = {} }: Manifest): string | undefined {
  const target = (spec['subscriber'] ?? spec['sink']) as { ref?: { kind?: string; name?: string } } | undefined
  return target?.ref?.kind === 'Service' ? target.ref.name : undefined
}

function selectorOf(object: LiveObject | undefined): string {
  const { matchLabels = {} } = (object?.spec?.['selector'] ?? {}) as { matchLabels?: Record<string, string> }
  return Object.entries(matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/** The addresses of Kafka in Brokers' settings, sinks and sources are those that `infra` stored. */
export function withBrokers(manifests: readonly Manifest[], brokers: string): Manifest[] {
  const list = brokers.split(',').map((broker) => broker.trim())
  return manifests.map((manifest) => {
    const copy = structuredClone(manifest)
    if (copy.kind === 'ConfigMap' && copy.data?.['bootstrap.servers'] !== undefined)
      copy.data['bootstrap.servers'] = list.join(',')
    if (copy.spec !== undefined && Array.isArray(copy.spec['bootstrapServers'])) copy.spec['bootstrapServers'] = list
    return copy
  })
}
