/** Which revision gets which share: pure, without effects. */
import { conditionOf, type KnativeService, type TrafficTarget } from './kube-objects.ts'

/** Traffic cannot be rolled out from where it is; the message says what to do. */
export class TrafficError extends Error {
  override readonly name = 'TrafficError'
}

/** True when the status describes the newest spec. */
export const isObserved = (service: KnativeService): boolean =>
  service.status?.observedGeneration === service.metadata.generation

/** The one revision that has all traffic now. @throws TrafficError when there is none, or more than one. */
export function stableRevision(service: KnativeService): string {
  const { name } = service.metadata
  const shares = sharesOf(service.status?.traffic ?? [])
  const [first, ...more] = shares.keys()
  if (first === undefined)
    throw new TrafficError(`Service ${name} has no revision with traffic. Deploy it first: scripts/deploy services`)
  if (more.length > 0) {
    const split = [...shares].map(([revision, percent]) => `${revision} ${percent} %`).join(', ')
    throw new TrafficError(
      `The traffic of Service ${name} is split (${split}), and not by a rollout. Give one revision all of it first: ` +
        `kn service update ${name} --traffic ${first}=100`,
    )
  }
  return first
}

/** Revision name → percent, without those that get nothing. */
export function sharesOf(traffic: readonly TrafficTarget[]): Map<string, number> {
  const shares = new Map<string, number>()
  for (const { revisionName, percent = 0 } of traffic) {
    if (revisionName !== undefined && percent > 0) shares.set(revisionName, (shares.get(revisionName) ?? 0) + percent)
  }
  return shares
}

/** Tags that others have set, on whatever revision; they get no share. */
export function tagsOfOthers(traffic: readonly TrafficTarget[], ownTag: string): TrafficTarget[] {
  return traffic.flatMap(({ tag, revisionName, latestRevision }) =>
    tag === undefined || tag === ownTag
      ? []
      : [
          {
            ...(revisionName === undefined ? {} : { revisionName }),
            ...(latestRevision === undefined ? {} : { latestRevision }),
            percent: 0,
            tag,
          },
        ],
  )
}

export type Split = {
  stable: string
  candidate?: string
  /** The candidate's share, 0 to 100. */
  percent: number
  tag?: string
  others: readonly TrafficTarget[]
}

/**
 * Every revision by its name: a `latestRevision: true` with a share would give traffic to a candidate that nobody has judged. A
 * revision with no share stays in the list, so that Knative keeps its least number of pods and a way back is a warm one.
 */
export function splitTraffic({ stable, candidate, percent, tag, others }: Split): TrafficTarget[] {
  if (!Number.isInteger(percent) || percent < 0 || percent > 100) throw new RangeError(`No share: ${percent}`)
  if (candidate === undefined && percent > 0) throw new RangeError('A share without a candidate')
  return [
    { revisionName: stable, latestRevision: false, percent: 100 - percent },
    ...(candidate === undefined
      ? []
      : [{ revisionName: candidate, latestRevision: false, percent, ...(tag === undefined ? {} : { tag }) }]),
    ...others,
  ]
}

/** All traffic to whatever is the latest ready revision, as before the first rollout. */
export const followLatest = (others: readonly TrafficTarget[]): TrafficTarget[] => [
  { latestRevision: true, percent: 100 },
  ...others,
]

/** True when the routes do what the spec says. */
export function isRouted(service: KnativeService, wanted: ReadonlyMap<string, number>): boolean {
  if (!isObserved(service) || conditionOf(service, 'RoutesReady')?.status !== 'True') return false
  const shares = sharesOf(service.status?.traffic ?? [])
  return shares.size === wanted.size && [...wanted].every(([revision, percent]) => shares.get(revision) === percent)
}

/** @throws TrafficError */
export function readSteps(text: string): number[] {
  const steps = text.split(',').map((step) => Number(step.trim() === '' ? Number.NaN : step))
  const ascending = steps.every((step, index) => Number.isInteger(step) && step > (steps[index - 1] ?? 0))
  if (!ascending || steps.at(-1) !== 100)
    throw new TrafficError(
      `--steps are whole percentages that rise and end with 100, like 1,10,50,100 or just 100; not "${text}".`,
    )
  return steps
}
