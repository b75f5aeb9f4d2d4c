/**
 * A copy of a function's Knative Service beside it, for measurements that take its pods away or need it at zero: the same image,
 * settings and secrets, a route of its own, no events. What buyers use is not touched.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubectl } from '../cluster/kubectl.ts'

type Template = {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }
  spec: Record<string, unknown>
}
/** Undefined takes one of the template away (JSON leaves it out). */
export type Annotations = Record<string, string | undefined>
type ServiceObject = {
  metadata: { labels?: Record<string, string> }
  spec: { template: Template }
  status?: { conditions?: { type: string; status: string; message?: string }[] }
}

export type ServiceCopy = {
  name: string
  /** Changes annotations of the template: a new revision. */
  change(annotations: Record<string, string>): Promise<void>
  remove(): Promise<void>
}

const kind = 'services.serving.knative.dev'
const visibility = 'networking.knative.dev/visibility'
/** Goes to zero as soon as Knative lets it: six seconds is its shortest window. */
export const quickScale: Record<string, string> = {
  'autoscaling.knative.dev/window': '6s',
  'autoscaling.knative.dev/panic-window-percentage': '50.0',
  'autoscaling.knative.dev/scale-down-delay': '0s',
  'autoscaling.knative.dev/scale-to-zero-pod-retention-period': '0s',
}

const readyWithinMs = 180_000

/** Made from a template and annotations; ready when this resolves. @throws Error with what Knative says when it does not get ready */
export async function createService(
  kubectl: Kubectl,
  plan: {
    namespace: string
    name: string
    template: Template
    annotations: Annotations
    clusterLocal?: boolean
  },
): Promise<ServiceCopy> {
  const { namespace, name, template } = plan
  let annotations: Annotations = { ...template.metadata?.annotations, ...plan.annotations }
  const apply = async () => {
    await kubectl.apply(
      JSON.stringify({
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: {
          name,
          namespace,
          labels: {
            'app.kubernetes.io/part-of': 'stampede',
            'app.kubernetes.io/component': 'measurement',
            ...(plan.clusterLocal === true ? { [visibility]: 'cluster-local' } : {}),
          },
        },
        spec: { template: { metadata: { labels: template.metadata?.labels ?? {}, annotations }, spec: template.spec } },
      }),
    )
  }
  await apply()
  const copy: ServiceCopy = {
    name,
    async change(more) {
      annotations = { ...annotations, ...more }
      await apply()
    },
    async remove() {
      await kubectl.run(['-n', namespace, 'delete', kind, name, '--ignore-not-found', '--wait=false'])
    },
  }
  try {
    await awaitReady(kubectl, namespace, name)
  } catch (error) {
    await copy.remove().catch(() => undefined)
    throw error
  }
  return copy
}

/** The function's own template, without what belongs to its revisions. */
export async function readTemplate(
  kubectl: Kubectl,
  namespace: string,
  service: string,
): Promise<{ template: Template; clusterLocal: boolean }> {
  const { metadata, spec } = await kubectl.json<ServiceObject>(['-n', namespace, 'get', kind, service])
  const { labels, annotations } = spec.template.metadata ?? {}
  return {
    template: {
      metadata: { ...(labels ? { labels } : {}), ...(annotations ? { annotations: withoutOwners(annotations) } : {}) },
      spec: spec.template.spec,
    },
    clusterLocal: metadata.labels?.[visibility] === 'cluster-local',
  }
}

/** Who made a revision by which program says nothing about its copy. */
const withoutOwners = (annotations: Record<string, string>) =>
  Object.fromEntries(Object.entries(annotations).filter(([name]) => !/^(client|serving)\.knative\.dev\//.test(name)))

export async function copyService(
  kubectl: Kubectl,
  plan: { namespace: string; service: string; name: string; annotations: Annotations },
): Promise<ServiceCopy> {
  return createService(kubectl, { ...plan, ...(await readTemplate(kubectl, plan.namespace, plan.service)) })
}

async function awaitReady(kubectl: Kubectl, namespace: string, name: string): Promise<void> {
  const deadlineMs = Date.now() + readyWithinMs
  for (;;) {
    const { status } = await kubectl.json<ServiceObject>(['-n', namespace, 'get', kind, name])
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')
    if (ready?.status === 'True') return
    if (Date.now() > deadlineMs)
      throw new Error(
        `${name} was not ready within ${readyWithinMs / 1_000} s: ${ready?.message ?? 'Knative says nothing'}`,
      )
    await sleep(1_000)
  }
}
