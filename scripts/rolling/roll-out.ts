/**
 * A rollout from the first look to its end: the candidate without traffic, tagged, ready, warm; then a rising share, judged at each
 * step by what the candidate's own pods counted; then all traffic, or the way back.
 */
import { awaitCreated, awaitReady, awaitRoutes, StepFailure, type Waiting } from './await-revision.ts'
import { chooseSource, type MetricsChoice } from './choose-source.ts'
import type { Limits } from './judge.ts'
import { judgeStep, type StepReport } from './judge-step.ts'
import { imageOf, type TrafficTarget } from './kube-objects.ts'
import type { MetricsSource } from './prometheus.ts'
import { restoreInterrupted, rollBack } from './roll-back.ts'
import type { RolloutWorld } from './rollout-cluster.ts'
import { LockedError, LostError, takeLock, type RolloutLock } from './rollout-lock.ts'
import { readState, type RolloutState } from './rollout-state.ts'
import { followLatest, splitTraffic, stableRevision, tagsOfOthers, TrafficError, isObserved } from './traffic.ts'
import { RevisionWatch } from './watch-revision.ts'
import { expectOwn, writeService } from './write-service.ts'

export type RolloutPlan = {
  namespace: string
  service: string
  image: string
  /** Rising percentages that end with 100. */
  steps: readonly number[]
  limits: Limits
  tag: string
  /** The failed revision stays reachable by its tag. Its least number of pods then stays as well. */
  keepTag: boolean
  readyWithinMs: number
  metrics: MetricsChoice
}

export type RolloutResult = {
  outcome: 'finished' | 'rolled-back' | 'unchanged'
  reason?: string
  stable: string
  candidate: string
  metrics?: MetricsSource['name']
  steps: StepReport[]
}

const lookEveryMs = 2_000
const settleWithinMs = 120_000

/**
 * Ends with the traffic at one place, or throws: LockedError and TrafficError before anything was changed, LostError when somebody
 * else has taken over, any other Error when the way back could not be written (then `--abort` or the next run does it).
 */
export async function rollOut(world: RolloutWorld, plan: RolloutPlan, signal?: AbortSignal): Promise<RolloutResult> {
  const lock = await takeLock(world, plan, { signal })
  try {
    await restoreInterrupted(world, { reason: 'its command was interrupted', keepTag: plan.keepTag })
    return await rollOutLocked(world, plan, lock, signal)
  } finally {
    await lock.release().catch((error: unknown) => world.say(`The lock stays: ${messageOf(error)}`))
  }
}

async function rollOutLocked(
  world: RolloutWorld,
  plan: RolloutPlan,
  lock: RolloutLock,
  signal?: AbortSignal,
): Promise<RolloutResult> {
  const { cluster, say, id } = world
  const waiting: Waiting = { world, beat: () => beatOf(lock, signal), signal }
  const stable = await beginning(waiting, plan)
  if (stable.image === plan.image) {
    return { outcome: 'unchanged', stable: stable.revision, candidate: stable.revision, steps: [] }
  }

  let candidate = ''
  let source: MetricsSource | undefined
  const steps: StepReport[] = []
  try {
    const known = new Set((await cluster.listRevisions()).map(({ metadata }) => metadata.name))
    say(`${stable.revision} has all traffic and keeps it: ${stable.image}`)
    await pin(world, plan, stable)
    await awaitRoutes(waiting, new Map([[stable.revision, 100]]))

    await change(world, (state) => ({ state, image: plan.image }))
    candidate = await awaitCreated(waiting, plan.image, known)
    await change(world, (state) => ({ state: { ...state, candidate: { ...state.candidate, revision: candidate } } }))
    say(`${candidate} starts without traffic: ${plan.image}`)
    await awaitReady(waiting, candidate, plan.readyWithinMs)
    await giveShare(waiting, 0)
    await warmUp(waiting, plan, candidate)

    source = await chooseSource(cluster, [candidate, stable.revision], plan.metrics)
    say(`Judged by the metrics of ${source.name}, port ${source.port} of each pod.`)
    const watches = {
      candidate: new RevisionWatch(cluster, candidate, source),
      stable: new RevisionWatch(cluster, stable.revision, source),
    }
    for (const percent of plan.steps) {
      // Marked before the routes change: what fails while they do counts as well.
      const marks = { candidate: await watches.candidate.look(), stable: await watches.stable.look() }
      await giveShare(waiting, percent)
      const report = await judgeStep(waiting, plan.limits, { percent, candidate, watches, marks })
      steps.push(report)
      if (report.verdict === 'bad') throw new StepFailure(`at ${percent} %: ${report.reason ?? ''}`)
    }
    const latest = await finish(world, candidate)
    say(
      latest
        ? `${candidate} has all traffic. Back: scripts/rollout ${plan.service} --undo`
        : `${candidate} has all traffic, by its name: the template was changed in the meantime, and that is not rolled out.`,
    )
    return { outcome: 'finished', stable: stable.revision, candidate, metrics: source.name, steps }
  } catch (error) {
    if (error instanceof LostError || error instanceof LockedError) throw error
    const reason = signal?.aborted === true ? 'interrupted' : messageOf(error)
    say(`Going back to ${stable.revision}: ${reason}`)
    const state = readState(await cluster.readService())
    if (state?.id === id && state.phase === 'running') await rollBack(world, id, { reason, keepTag: plan.keepTag })
    return {
      outcome: 'rolled-back',
      reason,
      stable: stable.revision,
      candidate,
      ...(source === undefined ? {} : { metrics: source.name }),
      steps,
    }
  }
}

async function beatOf(lock: RolloutLock, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) throw new StepFailure('interrupted')
  await lock.renew()
}

/** What has the traffic now, when a rollout may begin. @throws TrafficError */
async function beginning(
  { world, beat, signal }: Waiting,
  plan: RolloutPlan,
): Promise<{ revision: string; image: string }> {
  const { cluster, clock } = world
  let service = await cluster.readService()
  for (const untilMs = clock.nowMs() + settleWithinMs; !isObserved(service); service = await cluster.readService()) {
    await beat()
    if (clock.nowMs() >= untilMs)
      throw new TrafficError(`Knative has not yet taken in the last change of ${plan.service}.`)
    await clock.sleep(lookEveryMs, signal)
  }
  const revision = stableRevision(service)
  const foreign = (service.spec.traffic ?? []).find(({ tag }) => tag === plan.tag)
  if (foreign && readState(service)?.tag !== plan.tag)
    throw new TrafficError(
      `The tag "${plan.tag}" is in use (${foreign.revisionName ?? 'latest'}). Choose another: --tag`,
    )
  const found = await cluster.readRevision(revision)
  if (!found) throw new TrafficError(`Revision ${revision} has the traffic but does not exist.`)
  const image = imageOf(found.spec)
  const written = imageOf(service.spec.template.spec)
  if (written === plan.image && image !== plan.image)
    throw new TrafficError(
      `The template of ${plan.service} already has ${plan.image}, but ${revision} has the traffic (${image}). ` +
        `Is its revision not ready? kubectl -n ${plan.namespace} get revisions. To go on: scripts/deploy services, then roll out again.`,
    )
  return { revision, image }
}

async function pin(world: RolloutWorld, plan: RolloutPlan, stable: RolloutState['stable']): Promise<void> {
  const at = world.clock.timestamp()
  await writeService(world.cluster, (service) => {
    if (readState(service)?.phase === 'running') throw new LostError('Another rollout began at the same moment.')
    const before: TrafficTarget[] = service.spec.traffic ?? []
    return {
      state: {
        id: world.id,
        phase: 'running',
        stable,
        candidate: { revision: '', image: plan.image },
        tag: plan.tag,
        before,
        percent: 0,
        at,
      },
      traffic: splitTraffic({ stable: stable.revision, percent: 0, others: tagsOfOthers(before, plan.tag) }),
    }
  })
}

const change = (
  world: RolloutWorld,
  make: (state: RolloutState) => { state: RolloutState; image?: string },
): Promise<unknown> => writeService(world.cluster, (service) => make(expectOwn(service, world.id)))

async function giveShare(waiting: Waiting, percent: number): Promise<void> {
  const { world } = waiting
  let shares = new Map<string, number>()
  await writeService(world.cluster, (service) => {
    const state = expectOwn(service, world.id)
    const { stable, candidate, tag } = state
    shares = new Map([
      [stable.revision, 100 - percent],
      [candidate.revision, percent],
    ])
    for (const [revision, share] of shares) if (share === 0) shares.delete(revision)
    const others = tagsOfOthers(service.spec.traffic ?? [], tag)
    return {
      state: { ...state, percent },
      traffic: splitTraffic({ stable: stable.revision, candidate: candidate.revision, percent, tag, others }),
    }
  })
  await awaitRoutes(waiting, shares)
}

async function warmUp({ world, signal }: Waiting, plan: RolloutPlan, candidate: string): Promise<void> {
  const { status } = await world.cluster.readService()
  const url = status?.traffic?.find(({ tag, revisionName }) => tag === plan.tag && revisionName === candidate)?.url
  if (url === undefined) throw new StepFailure(`the tag "${plan.tag}" got no address`)
  world.say(`${candidate} is ready and reachable as ${url}`)
  const warmed = await world.warm(url)
  if (signal?.aborted === true) throw new StepFailure('interrupted')
  if (warmed === undefined) world.say('Not warmed: its address cannot be reached from here.')
  else if (warmed.answered === 0)
    throw new StepFailure(
      `it answered none of ${warmed.failed} requests well without traffic (last status ${warmed.lastStatus ?? 'none'})`,
    )
  else world.say(`Warm: ${warmed.answered} answers.`)
}

/** True when traffic follows the latest revision again, which is the candidate. */
async function finish(world: RolloutWorld, candidate: string): Promise<boolean> {
  const at = world.clock.timestamp()
  let latest = false
  await writeService(world.cluster, (service) => {
    const state = expectOwn(service, world.id)
    const { status } = service
    latest =
      isObserved(service) &&
      status?.latestReadyRevisionName === candidate &&
      status.latestCreatedRevisionName === candidate
    const others = tagsOfOthers(service.spec.traffic ?? [], state.tag)
    return {
      state: { ...state, phase: 'finished', percent: 100, at },
      // The candidate is judged and the latest: from here on the Service is as it was before its first rollout.
      traffic: latest ? followLatest(others) : splitTraffic({ stable: candidate, percent: 0, others }),
    }
  })
  return latest
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
