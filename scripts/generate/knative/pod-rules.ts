/** Rules for everything that runs as a pod. Each returns what is wrong, in words. */
import type { Manifest } from '../../cluster/manifest.ts'
import { containersOf, podsOf, quantity, type PodTemplate } from './manifest.ts'

export type Rule = (manifests: readonly Manifest[]) => string[]

const forPods =
  (check: (pod: PodTemplate, manifest: Manifest) => string[]): Rule =>
  (manifests) =>
    podsOf(manifests).flatMap(({ title, manifest, pod }) =>
      check(pod, manifest).map((problem) => `${title}: ${problem}`),
    )

/** Requests and limits of CPU and memory, and no request above its limit. */
export const resourcesAreLimited = forPods((pod) =>
  containersOf(pod).flatMap(({ name, resources }) =>
    ['cpu', 'memory'].flatMap((resource) => {
      const [request, limit] = [resources?.requests?.[resource], resources?.limits?.[resource]]
      if (request === undefined || limit === undefined) return [`${name} has no request or limit of ${resource}`]
      return quantity(request) > quantity(limit) ? [`${name} requests more ${resource} than its limit`] : []
    }),
  ),
)

/** The profile "restricted" of pod security, and a number where the image may have none. */
export const podsAreRestricted = forPods((pod) =>
  containersOf(pod).flatMap(({ name, securityContext: own = {} }) => {
    const both = { ...pod.spec.securityContext, ...own }
    const problems: string[] = []
    if (both.runAsNonRoot !== true) problems.push(`${name} may run as root`)
    if (!(both.runAsUser !== undefined && both.runAsUser > 0)) problems.push(`${name} has no user number`)
    if (both.privileged === true) problems.push(`${name} is privileged`)
    if (both.allowPrivilegeEscalation !== false) problems.push(`${name} may gain privileges`)
    if (!both.capabilities?.drop?.includes('ALL')) problems.push(`${name} keeps capabilities`)
    if ((both.capabilities?.add ?? []).length > 0) problems.push(`${name} adds capabilities`)
    if (both.seccompProfile?.type !== 'RuntimeDefault') problems.push(`${name} has no seccomp profile`)
    // Said for each, so that nobody forgets to think about it.
    if (both.readOnlyRootFilesystem === undefined) problems.push(`${name} does not say whether its root is read only`)
    return problems
  }),
)

export const podsAreProbed = forPods((pod) =>
  pod.spec.containers.flatMap(({ name, livenessProbe, readinessProbe }) => [
    ...(livenessProbe === undefined ? [`${name} has no liveness probe`] : []),
    ...(readinessProbe === undefined ? [`${name} has no readiness probe`] : []),
  ]),
)

/** An account of its own (the three data services share one), which is there, and whose token for the API server is not mounted. */
export const accountsAreModest: Rule = (manifests) => {
  const accounts = new Set(
    manifests
      .filter(({ kind }) => kind === 'ServiceAccount')
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
  )
  return forPods(({ spec }, { kind, metadata }) => {
    const problems: string[] = []
    if (!accounts.has(`${metadata.namespace}/${spec.serviceAccountName}`))
      problems.push(`its account ${spec.serviceAccountName} is not there`)
    if (kind !== 'StatefulSet' && spec.serviceAccountName !== metadata.name)
      problems.push('it uses the account of something else')
    if (spec.automountServiceAccountToken !== false) problems.push('a token for the API server is mounted')
    return problems
  })(manifests)
}

/** Ours are named without a tag, which who deploys puts in; others have a tag that says a version. */
export const imagesHaveVersions = forPods((pod) =>
  containersOf(pod)
    .filter(({ image = '' }) => !/^stampede\/[a-z-]+$/.test(image) && !/:\d[\w.-]*$/.test(image))
    .map(({ name, image }) => `${name} has the image ${image}`),
)

/** Secrets that functions and data services may refer to. `scripts/deploy` makes them. */
export const knownSecrets: Readonly<Record<string, readonly string[]>> = {
  'stampede-redis': ['url'],
  'stampede-kafka': ['brokers'],
  'stampede-database': ['url'],
  'stampede-identity': ['service-secret', 'jwks', 'jwks-url', 'issuer', 'audience', 'pass-keys', 'captcha-secret'],
  'stampede-data-keys': ['data-keys', 'index-key', 'audit-key'],
  redis: ['password'],
  mariadb: ['password', 'root-password'],
}

/** Every reference in an environment names a key that somebody puts there. */
export const referencesAreKnown: Rule = (manifests) => {
  const keysOf = (namespace: string | undefined, name: string) =>
    manifests.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name && metadata.namespace === namespace,
    )?.data ?? {}
  return forPods((pod, { metadata }) =>
    containersOf(pod).flatMap(({ env = [] }) =>
      env.flatMap(({ name, valueFrom }) => {
        const { secretKeyRef: secret, configMapKeyRef: config } = valueFrom ?? {}
        if (secret && !knownSecrets[secret.name]?.includes(secret.key))
          return [`${name} comes from the Secret ${secret.name}, key ${secret.key}, which nobody makes`]
        if (config && !(config.key in keysOf(metadata.namespace, config.name)))
          return [`${name} comes from the ConfigMap ${config.name}, key ${config.key}, which is not there`]
        return []
      }),
    ),
  )(manifests)
}
