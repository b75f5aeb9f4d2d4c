/** Waits for what the controllers make of a change. Every wait has an end and a reason. */
import { conditionOf, imageOf, type KnativeService, type Pod, type Revision } from './kube-objects.ts'
import type { RolloutWorld } from './rollout-cluster.ts'
import { isObserved, isRouted } from './traffic.ts'

/** The step did not come about; the message is the reason for going back. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure'
}

/** Called in every wait: keeps the lock and throws when the rollout is to end. */
export type Beat = () => Promise<void>
export type Waiting = { world: RolloutWorld; beat: Beat; signal?: AbortSignal }

const lookEveryMs = 1_000
const routeWithinMs = 120_000
const createWithinMs = 60_000
const latestWithinMs = 120_000
/** Knative says "False" for a moment while a revision's pod restarts. */
const falseForMs = 10_000

/** Until the routes give each revision the share it has in `wanted`. @throws StepFailure */
export async function awaitRoutes(
  { world, beat, signal }: Waiting,
  wanted: ReadonlyMap<string, number>,
): Promise<KnativeService> {
  for (const untilMs = world.clock.nowMs() + routeWithinMs; ;) {
    await beat()
    const service = await world.cluster.readService()
    if (isRouted(service, wanted)) return service
    if (world.clock.nowMs() >= untilMs) {
      const routes = conditionOf(service, 'RoutesReady')
      throw new StepFailure(
        `the routes did not follow within ${routeWithinMs / 1_000} s${routes?.status === 'True' ? '' : `: ${inWords(routes?.reason, routes?.message)}`}`,
      )
    }
    await world.clock.sleep(lookEveryMs, signal)
  }
}

/** The revision that the changed image made. @throws StepFailure */
export async function awaitCreated(
  { world, beat, signal }: Waiting,
  image: string,
  known: ReadonlySet<string>,
): Promise<string> {
  for (const untilMs = world.clock.nowMs() + createWithinMs; ;) {
    await beat()
    const service = await world.cluster.readService()
    const made = (await world.cluster.listRevisions()).find(
      ({ metadata, spec }) => !known.has(metadata.name) && imageOf(spec) === image,
    )
    if (made) return made.metadata.name
    const configuration = conditionOf(service, 'ConfigurationsReady')
    if (world.clock.nowMs() >= untilMs)
      throw new StepFailure(
        isObserved(service) && configuration?.status === 'False'
          ? `no revision was made: ${inWords(configuration.reason, configuration.message)}`
          : `no revision was made within ${createWithinMs / 1_000} s`,
      )
    await world.clock.sleep(lookEveryMs, signal)
  }
}

/** @throws StepFailure with what the revision or its pods say */
export async function awaitReady({ world, beat, signal }: Waiting, name: string, withinMs: number): Promise<void> {
  let falseSinceMs: number | undefined
  for (const untilMs = world.clock.nowMs() + withinMs; ;) {
    await beat()
    const revision = await world.cluster.readRevision(name)
    const ready = revision && conditionOf(revision, 'Ready')
    if (ready?.status === 'True') return
    const nowMs = world.clock.nowMs()
    if (ready?.status === 'False') {
      falseSinceMs ??= nowMs
      if (nowMs - falseSinceMs >= falseForMs)
        throw new StepFailure(`the revision is not ready: ${await whyNotReady(world, name, revision)}`)
    } else {
      falseSinceMs = undefined
    }
    if (nowMs >= untilMs)
      throw new StepFailure(
        `the revision was not ready within ${withinMs / 1_000} s: ${await whyNotReady(world, name, revision)}`,
      )
    await world.clock.sleep(lookEveryMs, signal)
  }
}

/** The revision of the Service's template. @throws StepFailure with what it or its pods say */
export async function awaitLatest(waiting: Waiting): Promise<string> {
  const { cluster, clock } = waiting.world
  for (const untilMs = clock.nowMs() + latestWithinMs; ;) {
    const service = await cluster.readService()
    const { latestCreatedRevisionName: created = '', latestReadyRevisionName: ready } = service.status ?? {}
    // Before that its status is of the template before.
    if (isObserved(service) && created !== '') {
      if (created === ready) return created
      await awaitReady(waiting, created, Math.max(0, untilMs - clock.nowMs()))
    }
    if (clock.nowMs() >= untilMs)
      throw new StepFailure(
        `the latest revision (${created === '' ? 'none' : created}) was not ready within ${latestWithinMs / 1_000} s`,
      )
    await clock.sleep(lookEveryMs, waiting.signal)
  }
}

async function whyNotReady(world: RolloutWorld, name: string, revision: Revision | undefined): Promise<string> {
  const ready = revision && conditionOf(revision, 'Ready')
  const pods = await world.cluster.listPods(name).catch(() => [])
  const said = [ready?.reason === undefined ? undefined : inWords(ready.reason, ready.message), ...pods.map(podInWords)]
  return said.filter((text) => text !== undefined).join('; ') || 'no pod was made'
}

function podInWords({ metadata, status = {} }: Pod): string | undefined {
  const container = status.containerStatuses?.find(({ state }) => state?.waiting ?? state?.terminated)
  if (!container) {
    const unscheduled = status.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False')
    return unscheduled && `pod ${metadata.name}: ${inWords(unscheduled.reason, unscheduled.message)}`
  }
  const { waiting, terminated } = container.state ?? {}
  const last = container.lastState?.terminated
  const ended = terminated ?? last
  const how = waiting ? inWords(waiting.reason, waiting.message) : ''
  const exit = ended ? `it ended with exit code ${ended.exitCode} (${ended.reason ?? 'no reason'})` : ''
  return `pod ${metadata.name}: ${[how, exit].filter((text) => text !== '').join(', ')}`
}

function inWords(reason: string | undefined, message: string | undefined): string {
  const text =
    [reason, message?.trim()].filter((part) => part !== undefined && part !== '').join(': ') || 'no reason given'
  return text.length > 400 ? `${text.slice(0, 400)}…` : text
}
