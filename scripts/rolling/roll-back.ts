/** The ways back: all traffic to the stable revision by its name, in one patch, from wherever a rollout stopped. */
import { awaitLatest, awaitRoutes, StepFailure, type Waiting } from './await-revision.ts'
import { conditionOf, imageOf, type KnativeService } from './kube-objects.ts'
import type { RolloutWorld } from './rollout-cluster.ts'
import { readState, type RolloutState } from './rollout-state.ts'
import { followLatest, splitTraffic, tagsOfOthers, TrafficError } from './traffic.ts'
import { expectOwn, writeService, type ServiceChange } from './write-service.ts'

const noBeat = async () => undefined
const patiently = (world: RolloutWorld): Waiting => ({ world, beat: noBeat })

/**
 * The image goes back together with the traffic: what the template says is what is served, and nobody who changes another thing
 * later brings the failed image along. The failed revision stays, without traffic.
 */
export function rollBackChange(
  service: KnativeService,
  state: RolloutState,
  options: { reason: string; at: string; keepTag: boolean; phase?: 'rolled-back' | 'undone' },
): ServiceChange {
  const { stable, candidate, tag } = state
  const phase = options.phase ?? 'rolled-back'
  const next: RolloutState = { ...state, phase, percent: 0, reason: options.reason, at: options.at }
  const untouched = candidate.revision === '' && imageOf(service.spec.template.spec) !== candidate.image
  // Nothing was changed but the traffic's way of naming the revision.
  if (untouched && state.before.length > 0) return { state: next, traffic: state.before }
  const kept = options.keepTag && candidate.revision !== ''
  return {
    state: next,
    traffic: splitTraffic({
      stable: stable.revision,
      ...(kept ? { candidate: candidate.revision, tag } : {}),
      percent: 0,
      others: tagsOfOthers(service.spec.traffic ?? [], tag),
    }),
    // Somebody may have put a third image there in the meantime: that is theirs.
    ...(imageOf(service.spec.template.spec) === candidate.image ? { image: stable.image } : {}),
  }
}

/** Ends the rollout `id`. Returns when the routes have followed. */
export async function rollBack(
  world: RolloutWorld,
  id: string,
  options: { reason: string; keepTag: boolean },
): Promise<RolloutState> {
  const at = world.clock.timestamp()
  let change: ServiceChange | undefined
  await writeService(world.cluster, (service) => {
    change = rollBackChange(service, expectOwn(service, id), { ...options, at })
    return change
  })
  const { state } = change as unknown as ServiceChange
  await awaitRoutes(patiently(world), new Map([[state.stable.revision, 100]]))
  return state
}

/** Ends whatever rollout was left half-way by a command that died. Undefined when none was. */
export async function restoreInterrupted(
  world: RolloutWorld,
  options: { reason: string; keepTag: boolean },
): Promise<RolloutState | undefined> {
  const state = readState(await world.cluster.readService())
  if (state?.phase !== 'running') return undefined
  world.say(
    `A rollout to ${state.candidate.image} stopped half-way with ${state.percent} %: traffic goes back to ${state.stable.revision}.`,
  )
  return rollBack(world, state.id, options)
}

/** All traffic back to what was there before the last rollout, which was finished. @throws TrafficError */
export async function undo(world: RolloutWorld, options: { keepTag: boolean }): Promise<RolloutState> {
  const at = world.clock.timestamp()
  const found = await world.cluster.readService()
  const { name, namespace } = found.metadata
  const last = readState(found)
  if (last?.phase !== 'finished')
    throw new TrafficError(
      `There is no finished rollout of ${name} to undo${last ? ` (the last one is ${last.phase})` : ''}.`,
    )
  const revision = await world.cluster.readRevision(last.stable.revision)
  if (!revision)
    throw new TrafficError(
      `Revision ${last.stable.revision} is gone (Knative keeps only some without traffic). Roll its image out again: ` +
        `scripts/rollout ${name} --to ${last.stable.image} --steps 100`,
    )
  if (conditionOf(revision, 'Ready')?.status !== 'True')
    throw new TrafficError(
      `Revision ${last.stable.revision} is not ready; see: kubectl -n ${namespace} describe revision ${last.stable.revision}`,
    )
  let change: ServiceChange | undefined
  await writeService(world.cluster, (service) => {
    const state = readState(service)
    if (state?.id !== last.id || state.phase !== 'finished')
      throw new TrafficError(`Another rollout of ${name} has begun or ended in the meantime.`)
    change = rollBackChange(service, state, { ...options, reason: 'undone', at, phase: 'undone' })
    return change
  })
  const { state } = change as unknown as ServiceChange
  await awaitRoutes(patiently(world), new Map([[state.stable.revision, 100]]))
  return state
}

/** Traffic follows the latest revision again, after a way back has pinned it; one that is on its way is waited for. @throws TrafficError */
export async function releaseTraffic(world: RolloutWorld): Promise<{ state: RolloutState; revision: string }> {
  const at = world.clock.timestamp()
  stateToRelease(await world.cluster.readService())
  const latest = await awaitLatest(patiently(world)).catch((error: unknown) => {
    if (error instanceof StepFailure) throw new TrafficError(`${error.message}, so traffic stays where it is.`)
    throw error
  })
  let released: RolloutState | undefined
  await writeService(world.cluster, (service) => {
    const state = stateToRelease(service)
    if (service.status?.latestReadyRevisionName !== latest)
      throw new TrafficError(`Somebody else changes ${service.metadata.name}, so traffic stays where it is.`)
    released = { ...state, phase: 'released', at }
    return { state: released, traffic: followLatest(tagsOfOthers(service.spec.traffic ?? [], state.tag)) }
  })
  await awaitRoutes(patiently(world), new Map([[latest, 100]]))
  return { state: released as unknown as RolloutState, revision: latest }
}

function stateToRelease(service: KnativeService): RolloutState {
  const state = readState(service)
  const { name } = service.metadata
  if (state === undefined || state.phase === 'running')
    throw new TrafficError(
      state ? `A rollout of ${name} is half-way; end it first: --abort` : `There was no rollout of ${name}.`,
    )
  if (imageOf(service.spec.template.spec) === state.candidate.image && state.phase !== 'finished')
    throw new TrafficError(`The template of ${name} has the image that was rolled back: ${state.candidate.image}.`)
  return state
}
