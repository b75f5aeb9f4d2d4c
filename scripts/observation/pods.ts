/** Pods by function and phase. */
import type { PodCounts } from './samples.ts'

export type PodObject = {
  metadata: {
    name: string
    labels?: Record<string, string>
    creationTimestamp?: string
    deletionTimestamp?: string
  }
  spec?: { containers?: { ports?: { name?: string; containerPort: number }[] }[] }
  status?: {
    phase?: string
    podIP?: string
    conditions?: { type: string; status: string; lastTransitionTime?: string }[]
  }
}

export const serviceLabel = 'serving.knative.dev/service'

/** Undefined: the pod has ended by itself and is nobody's any more. */
export function phaseOf({ metadata, status = {} }: PodObject): keyof PodCounts | undefined {
  if (metadata.deletionTimestamp !== undefined) return 'terminating'
  const holds = (type: string) => status.conditions?.some((one) => one.type === type && one.status === 'True') ?? false
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return undefined
  if (holds('Ready')) return 'ready'
  if (status.phase === 'Running') return 'running'
  return holds('PodScheduled') ? 'creating' : 'pending'
}

/** Pods that carry all labels of a selector. */
export function selectPods(pods: readonly PodObject[], selector: Record<string, string>): PodObject[] {
  const wanted = Object.entries(selector)
  if (wanted.length === 0) return []
  return pods.filter(({ metadata }) => wanted.every(([name, value]) => metadata.labels?.[name] === value))
}

export function countPods(pods: readonly PodObject[]): PodCounts {
  const counts: PodCounts = { pending: 0, creating: 0, running: 0, ready: 0, terminating: 0 }
  for (const pod of pods) {
    const phase = phaseOf(pod)
    if (phase !== undefined) counts[phase] += 1
  }
  return counts
}
