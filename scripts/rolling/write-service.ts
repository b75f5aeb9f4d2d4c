/** The writes of a rollout: each is one patch that holds only if nobody else has written what it rests on. */
import {
  imageOf,
  servingContainer,
  type KnativeService,
  type PatchOperation,
  type TrafficTarget,
} from './kube-objects.ts'
import type { RolloutCluster } from './rollout-cluster.ts'
import { LostError } from './rollout-lock.ts'
import { readState, stateAnnotation, statePointer, writeState, type RolloutState } from './rollout-state.ts'

export type ServiceChange = {
  state: RolloutState
  traffic?: readonly TrafficTarget[]
  image?: string
}

const attempts = 5

/**
 * Writes the change that `decide` makes of the Service as it is at that moment. `decide` is called again when somebody wrote in
 * between, and throws when what it finds forbids the change. Returns the Service that it was decided on.
 */
export async function writeService(
  cluster: RolloutCluster,
  decide: (service: KnativeService) => ServiceChange,
): Promise<KnativeService> {
  let failure: unknown
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const service = await cluster.readService()
    const change = decide(service)
    try {
      if ((await cluster.patchService(operationsFor(service, change))) === 'done') return service
    } catch (error) {
      // It may have been done although the answer is missing.
      failure = error
    }
    const now = await cluster.readService()
    if (now.metadata.annotations?.[stateAnnotation] === writeState(change.state)) return service
  }
  throw new Error(
    `Service could not be changed, ${attempts} times: ${failure instanceof Error ? failure.message : 'others write to it all the time'}`,
    {
      cause: failure,
    },
  )
}

/** What every change after the first rests on. @throws LostError */
export function expectOwn(service: KnativeService, id: string): RolloutState {
  const state = readState(service)
  if (state?.id !== id || state.phase !== 'running')
    throw new LostError(
      `The rollout of ${service.metadata.name} was ended by another run (${state?.phase ?? 'no state'}).`,
    )
  return state
}

/** Only traffic, image and annotation: whatever else others have put into the template stays. */
export function operationsFor(service: KnativeService, { state, traffic, image }: ServiceChange): PatchOperation[] {
  const { annotations, resourceVersion } = service.metadata
  const { template } = service.spec
  const operations: PatchOperation[] = []
  const before = annotations?.[stateAnnotation]
  if (before === undefined) operations.push({ op: 'test', path: '/metadata/resourceVersion', value: resourceVersion })
  else operations.push({ op: 'test', path: statePointer, value: before })
  if (annotations === undefined) operations.push({ op: 'add', path: '/metadata/annotations', value: {} })
  operations.push({ op: 'add', path: statePointer, value: writeState(state) })
  if (traffic !== undefined) {
    if (service.spec.traffic !== undefined)
      operations.push({ op: 'test', path: '/spec/traffic', value: service.spec.traffic })
    operations.push({ op: 'add', path: '/spec/traffic', value: traffic })
  }
  if (image !== undefined && image !== imageOf(template.spec)) {
    const path = `/spec/template/spec/containers/${servingContainer(template.spec.containers)}/image`
    operations.push({ op: 'test', path, value: imageOf(template.spec) }, { op: 'replace', path, value: image })
    // A name that somebody chose belongs to one revision; Knative refuses another template under it.
    if (template.metadata?.name !== undefined) operations.push({ op: 'remove', path: '/spec/template/metadata/name' })
  }
  return operations
}
