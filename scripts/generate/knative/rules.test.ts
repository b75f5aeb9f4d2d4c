import { join } from 'node:path'
import test from 'ava'
import type { Manifest } from '../../cluster/manifest.ts'
import { isKnativeService, podsOf, readManifestFile, type Container, type PodTemplate } from './manifest.ts'
import * as platformRules from './platform-rules.ts'
import * as podRules from './pod-rules.ts'
import { overlays, renderedPath, renderings } from './render.ts'

const root = join(import.meta.dirname, '..', '..', '..')

const read = new Map<string, Promise<Manifest[]>>()
/** A copy each time: tests change it. */
async function rendered(name: string): Promise<Manifest[]> {
  const manifests = read.get(name) ?? readManifestFile(join(root, renderedPath(name)))
  read.set(name, manifests)
  return structuredClone(await manifests)
}

const { knownSecrets: _, ...everywhere } = podRules
const { quotaHoldsEverything, ...together } = platformRules

for (const name of renderings.keys()) {
  // Settings of Knative itself hold no pods and carry no labels of ours.
  if (name === 'cluster') continue
  test(`rendered ${name} – keeps every rule`, async (t) => {
    const manifests = await rendered(name)
    t.true(podsOf(manifests).length > 0)
    for (const [title, rule] of Object.entries({ ...everywhere, ...together })) t.deepEqual(rule(manifests), [], title)
  })
}

for (const name of overlays) {
  test(`rendered ${name} – the quota holds every function at its max scale`, async (t) => {
    t.deepEqual(quotaHoldsEverything(await rendered(name)), [])
  })
}

const service = (manifests: Manifest[], name: string) =>
  manifests.find((manifest) => isKnativeService(manifest) && manifest.metadata.name === name)!
const templateOf = (manifests: Manifest[], name: string) => service(manifests, name).spec!['template'] as PodTemplate
const container = (manifests: Manifest[]): Container => templateOf(manifests, 'order').spec.containers[0]!
const annotations = (manifests: Manifest[]) => templateOf(manifests, 'seckill').metadata!.annotations!
const ofKind = (manifests: Manifest[], kind: string) => manifests.find((manifest) => manifest.kind === kind)!
const without = (manifests: Manifest[], kind: string, name?: string) => {
  const index = manifests.findIndex((each) => each.kind === kind && (name === undefined || each.metadata.name === name))
  manifests.splice(index, 1)
}

/** One mistake for each rule, made in the overlay for production, and the words by which it is found. */
const mistakes: [string, podRules.Rule, (manifests: Manifest[]) => unknown, RegExp][] = [
  [
    'a limit is missing',
    podRules.resourcesAreLimited,
    (all) => delete container(all).resources!.limits!['memory'],
    /order: user-container has no request or limit of memory/,
  ],
  [
    'a request is above its limit',
    podRules.resourcesAreLimited,
    (all) => (container(all).resources!.requests!['cpu'] = '1500m'),
    /requests more cpu/,
  ],
  [
    'a container may run as root',
    podRules.podsAreRestricted,
    (all) => delete container(all).securityContext!.runAsNonRoot,
    /may run as root/,
  ],
  [
    'a container runs as number 0',
    podRules.podsAreRestricted,
    (all) => (container(all).securityContext!.runAsUser = 0),
    /has no user number/,
  ],
  [
    'a container is privileged',
    podRules.podsAreRestricted,
    (all) => (container(all).securityContext!.privileged = true),
    /is privileged/,
  ],
  [
    'a container may gain privileges',
    podRules.podsAreRestricted,
    (all) => delete container(all).securityContext!.allowPrivilegeEscalation,
    /may gain privileges/,
  ],
  [
    'a container keeps capabilities',
    podRules.podsAreRestricted,
    (all) => delete container(all).securityContext!.capabilities,
    /keeps capabilities/,
  ],
  [
    'a container adds a capability',
    podRules.podsAreRestricted,
    (all) => (container(all).securityContext!.capabilities!.add = ['NET_RAW']),
    /adds capabilities/,
  ],
  [
    'a container has no seccomp profile',
    podRules.podsAreRestricted,
    (all) => delete container(all).securityContext!.seccompProfile,
    /no seccomp profile/,
  ],
  [
    'a container says nothing about its root',
    podRules.podsAreRestricted,
    (all) => delete container(all).securityContext!.readOnlyRootFilesystem,
    /whether its root is read only/,
  ],
  [
    'a liveness probe is missing',
    podRules.podsAreProbed,
    (all) => delete container(all).livenessProbe,
    /no liveness probe/,
  ],
  [
    'a readiness probe is missing',
    podRules.podsAreProbed,
    (all) => delete container(all).readinessProbe,
    /no readiness probe/,
  ],
  [
    'an account is missing',
    podRules.accountsAreModest,
    (all) => without(all, 'ServiceAccount', 'order'),
    /its account order is not there/,
  ],
  [
    'an account is shared',
    podRules.accountsAreModest,
    (all) => (templateOf(all, 'order').spec.serviceAccountName = 'seckill'),
    /account of something else/,
  ],
  [
    'a token is mounted',
    podRules.accountsAreModest,
    (all) => delete templateOf(all, 'order').spec.automountServiceAccountToken,
    /a token for the API server is mounted/,
  ],
  [
    'an image is the latest',
    podRules.imagesHaveVersions,
    (all) => (container(all).image = 'docker.io/some/order:latest'),
    /has the image docker.io\/some\/order:latest/,
  ],
  [
    'an image has no version',
    podRules.imagesHaveVersions,
    (all) => (container(all).image = 'docker.io/some/order'),
    /has the image docker.io\/some\/order/,
  ],
  [
    'a key of a Secret is unknown',
    podRules.referencesAreKnown,
    (all) => (container(all).env![0]!.valueFrom = { secretKeyRef: { name: 'stampede-redis', key: 'address' } }),
    /Secret stampede-redis, key address/,
  ],
  [
    'a key of the ConfigMap is gone',
    podRules.referencesAreKnown,
    (all) => delete ofConfig(all)['k-sink'],
    /ConfigMap stampede, key k-sink/,
  ],
  [
    'a Secret is in the manifests',
    platformRules.noSecrets,
    (all) => all.push({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x', namespace: 'stampede' } }),
    /Secret stampede\/x does not belong/,
  ],
  [
    'a label is missing',
    platformRules.everythingIsLabelled,
    (all) => delete ofKind(all, 'Trigger').metadata.labels,
    /does not say app.kubernetes.io\/part-of/,
  ],
  [
    'a name is used twice',
    platformRules.namesAreUnique,
    (all) => all.push(structuredClone(ofKind(all, 'Trigger'))),
    /is there twice/,
  ],
  [
    'a subscriber is gone',
    platformRules.destinationsExist,
    (all) => all.splice(all.indexOf(service(all, 'order')), 1),
    /there is no serving.knative.dev\/Service stampede\/order/,
  ],
  [
    'the Broker is gone',
    platformRules.destinationsExist,
    (all) => without(all, 'Broker'),
    /there is no Broker default/,
  ],
  [
    'the sink of dead letters is gone',
    platformRules.destinationsExist,
    (all) => without(all, 'KafkaSink', 'dead-letter'),
    /there is no eventing.knative.dev\/KafkaSink stampede\/dead-letter/,
  ],
  [
    'a budget is gone',
    platformRules.disruptionsAreBudgeted,
    (all) => without(all, 'PodDisruptionBudget', 'order'),
    /Service stampede\/order has no disruption budget/,
  ],
  [
    'the namespace takes any pod',
    platformRules.namespacesAreClosed,
    (all) => delete ofKind(all, 'Namespace').metadata.labels!['pod-security.kubernetes.io/enforce'],
    /lets any pod run/,
  ],
  [
    'the namespace is open',
    platformRules.namespacesAreClosed,
    (all) => without(all, 'NetworkPolicy', 'default-deny'),
    /no policy that denies everything else/,
  ],
  [
    'the sale may be at zero',
    platformRules.scaleIsSensible,
    (all) => (annotations(all)['autoscaling.knative.dev/min-scale'] = '0'),
    /seckill may be at zero/,
  ],
  [
    'the activator is in the path',
    platformRules.scaleIsSensible,
    (all) => (annotations(all)['autoscaling.knative.dev/target-burst-capacity'] = '211'),
    /activator in the path/,
  ],
  [
    'a revision starts too small',
    platformRules.scaleIsSensible,
    (all) => (annotations(all)['autoscaling.knative.dev/initial-scale'] = '1'),
    /less than its min scale/,
  ],
  [
    'there is no max scale',
    platformRules.scaleIsSensible,
    (all) => delete annotations(all)['autoscaling.knative.dev/max-scale'],
    /has no max scale/,
  ],
  [
    'the quota is too small',
    quotaHoldsEverything,
    (all) => (annotations(all)['autoscaling.knative.dev/max-scale'] = '500'),
    /the quota of pods is/,
  ],
]

function ofConfig(all: Manifest[]): Record<string, string> {
  return all.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'stampede')!.data!
}

for (const [mistake, rule, make, found] of mistakes) {
  test(`rules – are broken when ${mistake}`, async (t) => {
    const manifests = await rendered('production')
    make(manifests)
    t.regex(rule(manifests).join('\n'), found)
  })
}
