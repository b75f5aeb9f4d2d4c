/** What a rollout says to people and to programs. */
import { imageOf, type KnativeService } from './kube-objects.ts'
import { percent } from './judge.ts'
import type { RolloutPlan } from './roll-out.ts'
import { readState } from './rollout-state.ts'
import { sharesOf, stableRevision } from './traffic.ts'

export function describeService(service: KnativeService): string[] {
  const state = readState(service)
  const shares = [...sharesOf(service.status?.traffic ?? [])].map(([revision, share]) => `${revision} ${share} %`)
  const follows = (service.spec.traffic ?? []).some(
    ({ latestRevision, percent: share = 0 }) => latestRevision && share > 0,
  )
  return [
    `Traffic: ${shares.join(', ') || 'none'}, ${follows ? 'following the latest revision' : 'by name'}`,
    `Image in the template: ${imageOf(service.spec.template.spec)}`,
    state === undefined
      ? 'No rollout yet.'
      : `Last rollout: ${state.phase} at ${state.at}, from ${state.stable.revision} (${state.stable.image}) to ${state.candidate.revision || 'a revision not yet made'} (${state.candidate.image})` +
        (state.phase === 'running' ? `, ${state.percent} %` : '') +
        (state.reason === undefined ? '' : `: ${state.reason}`),
  ]
}

/** @throws TrafficError when it could not begin */
export function describePlan(plan: RolloutPlan, service: KnativeService): string[] {
  const { limits } = plan
  const state = readState(service)
  const stable = state?.phase === 'running' ? state.stable.revision : stableRevision(service)
  return [
    ...describeService(service),
    ...(state?.phase === 'running'
      ? ['That rollout is half-way: would first end it, unless its command still lives (then this one is refused).']
      : []),
    `Would pin all traffic to ${stable}, then set the image ${plan.image}, wait at most ${plan.readyWithinMs / 1_000} s for its revision,`,
    `tag it "${plan.tag}", warm it, then give it ${plan.steps.map((step) => `${step} %`).join(', ')}: each for at least ${limits.stepMs / 1_000} s and`,
    `${limits.minRequests} requests, at most ${limits.maxStepMs / 1_000} s (then: ${limits.fewRequests}); errors at most ${percent(limits.maxErrorRate)}, p99 at most ${limits.maxP99Ms} ms.`,
    'Nothing was changed.',
  ]
}

export const resultAsJson = (result: unknown): string =>
  JSON.stringify(result, (_, value: unknown) =>
    value instanceof Map
      ? Object.fromEntries([...(value as Map<number, number>)].map(([upToMs, count]) => [String(upToMs), count]))
      : value,
  )
