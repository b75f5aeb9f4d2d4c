/**
 * What a rollout leaves on the Service, so that whoever comes next (another run, `--abort`, `--undo`, `scripts/deploy`) knows what
 * happened: one annotation, written in the same patch as the traffic that it describes.
 */
import { z } from 'zod'
import type { KnativeService } from './kube-objects.ts'

export const stateAnnotation = 'rollout.stampede.io/state'
/** As a JSON pointer. */
export const statePointer = `/metadata/annotations/${stateAnnotation.replace('/', '~1')}`
/** Who owns `spec.traffic` and the image, once there has been a rollout. */
export const fieldManager = 'stampede-rollout'

const side = z.object({ revision: z.string(), image: z.string() })
const stateShape = z.object({
  id: z.string(),
  /**
   * `running`: half-way, or its command died. `finished`: the candidate has all traffic. `rolled-back`: the stable revision has all
   * traffic again, by name. `undone`: likewise, after it had finished. `released`: traffic follows the latest revision again.
   */
  phase: z.enum(['running', 'finished', 'rolled-back', 'undone', 'released']),
  stable: side,
  /** `revision` is empty until the API server has made it. */
  candidate: side,
  tag: z.string(),
  /** `spec.traffic` before, for a rollout that ends before it changed anything else. */
  before: z.array(
    z.object({
      revisionName: z.string().optional(),
      latestRevision: z.boolean().optional(),
      percent: z.number().optional(),
      tag: z.string().optional(),
    }),
  ),
  /** The candidate's share of the traffic. */
  percent: z.number().int().min(0).max(100),
  reason: z.string().optional(),
  at: z.string(),
})
export type RolloutState = z.infer<typeof stateShape>

/** @throws Error when the annotation was written by something else. */
export function readState(service: Pick<KnativeService, 'metadata'>): RolloutState | undefined {
  const text = service.metadata.annotations?.[stateAnnotation]
  if (text === undefined) return undefined
  try {
    return stateShape.parse(JSON.parse(text))
  } catch (error) {
    throw new Error(
      `The annotation ${stateAnnotation} of Service ${service.metadata.name} is not understood; look at it and take it away with ` +
        `kubectl annotate ksvc ${service.metadata.name} -n ${service.metadata.namespace} ${stateAnnotation}-`,
      { cause: error },
    )
  }
}

export const writeState = (state: RolloutState): string => JSON.stringify(state)
