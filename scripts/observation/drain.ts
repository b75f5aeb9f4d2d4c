/**
 * Pods are taken away under a constant load; every request must be answered. A part of the requests takes seconds on purpose, so
 * that some are always in work on the pod that goes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubectl } from '../cluster/kubectl.ts'
import type { Say } from '../lib/terminal.ts'
import type { ServiceCopy } from './copy-service.ts'
import { getJsonPatiently, type KubeReader } from './kube-read.ts'
import type { LoadHandle } from './load-handle.ts'
import type { CutRequest, LoadResult } from './load-orders.ts'
import { phaseOf, serviceLabel, type PodObject } from './pods.ts'

export type Taken = { pod: string; atMs: number; by: 'deleted' | 'scale' }

export type DrainResult = {
  requests: number
  accepted: number
  errors: number
  cutCount: number
  /** Each with the pods that were ending when it was cut. */
  cut: (CutRequest & { ending: string[] })[]
  taken: Taken[]
}

export type DrainOptions = {
  /** Between one taking and the next. */
  everySeconds: number
  /** How many times pods are deleted and new revisions made, in turns. */
  takings: number
  /** Pods of the Service at the least. */
  pods: number
}

export type DrainEffects = {
  startLoad(): LoadHandle
  pods(): Promise<readonly PodObject[]>
  deletePod(name: string): Promise<void>
  /** Makes a new revision with one pod more than the minimum: the old pods go, and then the surplus one. */
  replaceAll(turn: number): Promise<void>
  say: Say
  sleep?: (ms: number) => Promise<unknown>
  nowMs?: () => number
}

const lookEveryMs = 250
/** A pod's end is noticed by looking: a little late. */
const slackMs = 1_000
const twoReadyWithinMs = 120_000

export async function drain(options: DrainOptions, effects: DrainEffects): Promise<DrainResult> {
  const { say, sleep: rest = sleep, nowMs = Date.now } = effects
  const ending = new Map<string, { firstMs: number; lastMs: number }>()
  const deleted = new Map<string, number>()
  const watching = { on: true }
  const look = async (): Promise<readonly PodObject[]> => {
    const pods = await effects.pods()
    for (const pod of pods) {
      if (phaseOf(pod) !== 'terminating') continue
      const known = ending.get(pod.metadata.name)
      ending.set(pod.metadata.name, { firstMs: known?.firstMs ?? nowMs(), lastMs: nowMs() })
    }
    return pods
  }
  const watch = (async () => {
    while (watching.on) {
      // A look that fails is made up for by the next one.
      await look().catch(() => undefined)
      await rest(lookEveryMs)
    }
  })()

  const load = effects.startLoad()
  let result: LoadResult
  try {
    for (let turn = 0; turn < options.takings; turn++) {
      await rest(options.everySeconds * 1_000)
      if (turn % 2 === 1) {
        say('A new revision: all pods of the old one go')
        const old = (await look()).filter((pod) => phaseOf(pod) !== 'terminating').map(({ metadata }) => metadata.name)
        await effects.replaceAll(turn)
        const deadlineMs = nowMs() + twoReadyWithinMs
        const stays = (pod: PodObject) => old.includes(pod.metadata.name) && phaseOf(pod) !== 'terminating'
        while ((await look()).some(stays) && nowMs() < deadlineMs) await rest(lookEveryMs)
        continue
      }
      // The last ready pod is not taken: that would be an outage and not a drain.
      const ready = await readyPods(look, rest, nowMs, options.pods)
      const [victim] = ready
      if (victim === undefined) continue
      say(`Deleting pod ${victim.metadata.name}`)
      deleted.set(victim.metadata.name, nowMs())
      await effects.deletePod(victim.metadata.name)
    }
    await rest(options.everySeconds * 1_000)
    load.stop()
    result = await load.finished
  } finally {
    watching.on = false
    await watch
    load.kill()
  }
  return {
    requests: result.requests,
    accepted: result.accepted,
    errors: result.errors + result.noAnswer,
    cutCount: result.cutCount,
    cut: result.cut.map((one) => ({
      ...one,
      ending: [...ending]
        .filter(([name, { firstMs, lastMs }]) => {
          const begunMs = Math.min(firstMs, deleted.get(name) ?? firstMs)
          return begunMs - slackMs <= one.atMs && one.atMs - one.afterMs <= lastMs + slackMs
        })
        .map(([name]) => name),
    })),
    taken: [...ending].map(([pod, { firstMs }]) => ({
      pod,
      atMs: deleted.get(pod) ?? firstMs,
      by: deleted.has(pod) ? ('deleted' as const) : ('scale' as const),
    })),
  }
}

async function readyPods(
  look: () => Promise<readonly PodObject[]>,
  rest: (ms: number) => Promise<unknown>,
  nowMs: () => number,
  atLeast: number,
): Promise<PodObject[]> {
  const deadlineMs = nowMs() + twoReadyWithinMs
  for (;;) {
    const ready = (await look()).filter((pod) => phaseOf(pod) === 'ready')
    if (ready.length >= atLeast) return ready
    if (nowMs() > deadlineMs) return []
    await rest(lookEveryMs)
  }
}

/** Pods and their taking on a real cluster, for a copy of a Service. */
export function drainOnCluster(cluster: {
  kubectl: Kubectl
  api: KubeReader
  namespace: string
  copy: ServiceCopy
  pods: number
}): Pick<DrainEffects, 'pods' | 'deletePod' | 'replaceAll'> {
  const { kubectl, api, namespace, copy, pods } = cluster
  const selector = encodeURIComponent(`${serviceLabel}=${copy.name}`)
  return {
    pods: async () =>
      (
        await getJsonPatiently<{ items: PodObject[] }>(
          api,
          `/api/v1/namespaces/${namespace}/pods?labelSelector=${selector}`,
        )
      ).items,
    deletePod: async (name) => {
      await kubectl.run(['-n', namespace, 'delete', 'pod', name, '--wait=false'])
    },
    replaceAll: (turn) =>
      copy.change({
        'autoscaling.knative.dev/initial-scale': String(pods + 1),
        'stampede.io/drain-turn': String(turn),
      }),
  }
}

export function drainLines(result: DrainResult): string[] {
  const line = (name: string, value: string) => `  ${name.padEnd(30)}${value}`
  return [
    line('requests', `${result.requests}, accepted ${result.accepted}, errors ${result.errors}`),
    line(
      'pods taken away',
      result.taken.length === 0 ? 'none' : result.taken.map(({ pod, by }) => `${pod} (${by})`).join(', '),
    ),
    line('requests cut', String(result.cutCount)),
    ...result.cut
      .slice(0, 20)
      .map(({ atMs, what, afterMs, ending }) =>
        line('', `${new Date(atMs).toISOString()} ${what} after ${afterMs} ms, ending: ${ending.join(', ') || 'none'}`),
      ),
  ]
}
