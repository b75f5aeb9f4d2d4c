/** Desired and actual scale, and the minimum of each function, from Knative's PodAutoscalers. */
import { serviceLabel } from './pods.ts'

export type AutoscalerObject = {
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  spec?: { reachability?: string }
  status?: { desiredScale?: number; actualScale?: number }
}

export type Scale = { desired: number; actual: number; minimum: number }

export const autoscalersPath = (namespace: string): string =>
  `/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/${namespace}/podautoscalers?resourceVersion=0`

/** By function, summed over its revisions: old ones may still have pods. */
export function scalesOf(autoscalers: readonly AutoscalerObject[]): Map<string, Scale> {
  const scales = new Map<string, Scale>()
  for (const { metadata, spec, status } of autoscalers) {
    const service = metadata.labels?.[serviceLabel]
    if (service === undefined) continue
    const scale = scales.get(service) ?? { desired: 0, actual: 0, minimum: 0 }
    scales.set(service, scale)
    // The autoscaler writes -1 until it has decided for the first time.
    scale.desired += Math.max(0, status?.desiredScale ?? 0)
    scale.actual += Math.max(0, status?.actualScale ?? 0)
    // A revision that no route leads to goes to zero whatever its minimum.
    if (spec?.reachability !== 'Unreachable') scale.minimum += minimumOf(metadata.annotations)
  }
  return scales
}

function minimumOf(annotations: Record<string, string> = {}): number {
  const text = annotations['autoscaling.knative.dev/min-scale'] ?? annotations['autoscaling.knative.dev/minScale']
  const minimum = Number(text ?? 0)
  return Number.isSafeInteger(minimum) && minimum > 0 ? minimum : 0
}
