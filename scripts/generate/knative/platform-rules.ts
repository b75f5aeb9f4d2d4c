/** Rules for an overlay as a whole. */
import type { Manifest } from '../../cluster/manifest.ts'
import { isKnativeService, podsOf, quantity, titleOf } from './manifest.ts'
import type { Rule } from './pod-rules.ts'

export const noSecrets: Rule = (manifests) =>
  manifests
    .filter(({ kind }) => kind === 'Secret')
    .map((manifest) => `${titleOf(manifest)} does not belong into a manifest`)

export const everythingIsLabelled: Rule = (manifests) =>
  manifests
    // The manifests of the engine as files, made by kustomize.
    .filter(({ kind, metadata }) => !(kind === 'ConfigMap' && metadata.name.startsWith('eventing-manifests-')))
    .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/part-of'] !== 'stampede')
    .map((manifest) => `${titleOf(manifest)} does not say app.kubernetes.io/part-of: stampede`)

export const namesAreUnique: Rule = (manifests) => {
  const titles = manifests.map(titleOf)
  return titles.filter((title, index) => titles.indexOf(title) !== index).map((title) => `${title} is there twice`)
}

type Reference = { apiVersion?: string; kind?: string; name?: string; namespace?: string }

/** All references to Services, Brokers and sinks lead to something in the same overlay. */
export const destinationsExist: Rule = (manifests) => {
  const there = new Set(manifests.map(titleOf))
  const check = (manifest: Manifest, value: unknown): string[] => {
    if (Array.isArray(value)) return value.flatMap((item) => check(manifest, item))
    if (typeof value !== 'object' || value === null) return []
    return Object.entries(value).flatMap(([key, inner]) => {
      if (key !== 'ref' && key !== 'reference') return check(manifest, inner)
      const { apiVersion = 'v1', kind = '', name = '', namespace = 'stampede' } = inner as Reference
      const title = titleOf({ apiVersion, kind, metadata: { name, namespace } })
      return there.has(title) ? [] : [`${titleOf(manifest)}: there is no ${title}`]
    })
  }
  const brokers = manifests
    .filter(({ kind }) => kind === 'Trigger')
    .filter(
      ({ spec, metadata }) =>
        !there.has(`eventing.knative.dev/Broker ${metadata.namespace}/${String(spec!['broker'])}`),
    )
    .map((manifest) => `${titleOf(manifest)}: there is no Broker ${String(manifest.spec!['broker'])}`)
  return [...brokers, ...manifests.flatMap((manifest) => check(manifest, manifest.spec))]
}

/** Each pod of a Knative Service or Deployment has a budget that selects it and lets nodes be drained. */
export const disruptionsAreBudgeted: Rule = (manifests) => {
  const budgets = manifests.filter(({ kind }) => kind === 'PodDisruptionBudget')
  return podsOf(manifests).flatMap(({ title, manifest, pod }) => {
    const labels: Record<string, string | undefined> = {
      ...pod.metadata?.labels,
      ...(isKnativeService(manifest) ? { 'serving.knative.dev/service': manifest.metadata.name } : {}),
    }
    const found = budgets.some(({ metadata, spec }) => {
      const { matchLabels = {} } = spec!['selector'] as { matchLabels?: Record<string, string> }
      return (
        metadata.namespace === manifest.metadata.namespace &&
        Object.entries(matchLabels).every(([key, value]) => labels[key] === value)
      )
    })
    return found ? [] : [`${title} has no disruption budget`]
  })
}

/** Namespaces are restricted, and closed unless a policy opens them. */
export const namespacesAreClosed: Rule = (manifests) =>
  manifests
    .filter(({ kind }) => kind === 'Namespace')
    .flatMap(({ metadata: { name, labels } }) => {
      const closed = manifests.some(({ kind, metadata, spec }) => {
        if (kind !== 'NetworkPolicy' || metadata.namespace !== name) return false
        const types = (spec?.['policyTypes'] ?? []) as string[]
        return (
          JSON.stringify(spec?.['podSelector']) === '{}' &&
          types.length === 2 &&
          !spec?.['ingress'] &&
          !spec?.['egress']
        )
      })
      return [
        ...(labels?.['pod-security.kubernetes.io/enforce'] === 'restricted' ? [] : [`${name} lets any pod run`]),
        ...(closed ? [] : [`${name} has no policy that denies everything else`]),
      ]
    })

const scale = 'autoscaling.knative.dev'
const proxy = 'queue.sidecar.serving.knative.dev'

const annotationsOf = (manifest: Manifest): Record<string, string> =>
  (manifest.spec!['template'] as { metadata: { annotations: Record<string, string> } }).metadata.annotations

/** Only the sale is never at zero in the small overlay, and it starts with what it is never below. */
export const scaleIsSensible: Rule = (manifests) =>
  manifests.filter(isKnativeService).flatMap((manifest) => {
    const values = annotationsOf(manifest)
    const number = (key: string) => Number(values[`${scale}/${key}`] ?? 0)
    const problems: string[] = []
    if (!(number('max-scale') > 0)) problems.push('has no max scale')
    if (number('min-scale') > number('max-scale')) problems.push('has more at least than at most')
    if (manifest.metadata.name === 'seckill') {
      if (number('min-scale') < 1) problems.push('may be at zero when the rush comes')
      if (values[`${scale}/target-burst-capacity`] !== '0') problems.push('has the activator in the path of a rush')
      if (number('initial-scale') < number('min-scale')) problems.push('starts a revision with less than its min scale')
    }
    return problems.map((problem) => `${manifest.metadata.name} ${problem}`)
  })

/** The quota holds all functions at their max scale, queue proxies included. Only where `complete` is promised: production. */
export const quotaHoldsEverything: Rule = (manifests) => {
  const quota = manifests.find(({ kind }) => kind === 'ResourceQuota')?.spec?.['hard'] as
    Record<string, string> | undefined
  if (!quota) return ['there is no quota']
  const needed = { pods: 0, 'requests.cpu': 0, 'requests.memory': 0, 'limits.cpu': 0, 'limits.memory': 0 }
  for (const { manifest, pod } of podsOf(manifests).filter((each) => isKnativeService(each.manifest))) {
    const annotations = annotationsOf(manifest)
    // While a canary runs there are two revisions, and the second one has its min scale.
    const pods = Number(annotations[`${scale}/max-scale`]) + Math.max(1, Number(annotations[`${scale}/min-scale`]))
    const { requests = {}, limits = {} } = pod.spec.containers[0]!.resources ?? {}
    needed.pods += pods
    for (const resource of ['cpu', 'memory'] as const) {
      const extra = (kind: string) => quantity(annotations[`${proxy}/${resource}-resource-${kind}`] ?? '0')
      needed[`requests.${resource}`] += pods * (quantity(requests[resource] ?? '0') + extra('request'))
      needed[`limits.${resource}`] += pods * (quantity(limits[resource] ?? '0') + extra('limit'))
    }
  }
  return Object.entries(needed)
    .filter(([key, amount]) => amount > quantity(quota[key] ?? '0'))
    .map(([key, amount]) => `the quota of ${key} is ${quota[key]}, and ${amount} would be needed`)
}
