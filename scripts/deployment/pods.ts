/** What is wrong with pods, in words: images that cannot be had, crashes, places that are missing. */
import type { Kubectl } from '../cluster/kubectl.ts'
import { namespace } from './context.ts'

export type ContainerState = {
  waiting?: { reason?: string; message?: string }
  terminated?: { reason?: string; exitCode?: number; message?: string }
  running?: object
}
export type Pod = {
  metadata: { name: string; labels?: Record<string, string>; deletionTimestamp?: string; creationTimestamp?: string }
  status?: {
    phase?: string
    reason?: string
    message?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: {
      name: string
      ready: boolean
      restartCount: number
      state?: ContainerState
      lastState?: ContainerState
    }[]
  }
}

export async function podsOf(kubectl: Kubectl, selector: string, place = namespace): Promise<Pod[]> {
  const { items } = await kubectl.json<{ items: Pod[] }>(['-n', place, 'get', 'pods', '-l', selector])
  return items
}

/** Undefined when nothing is wrong with it. */
export function problemOfPod({ metadata, status = {} }: Pod): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return undefined
  const say = (why: string) => `pod ${metadata.name}: ${why}`
  const unplaced = status.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
  if (unplaced) return say(`has no place on a node: ${unplaced.message ?? unplaced.reason ?? ''}`)
  for (const { name, ready, restartCount, state = {}, lastState = {} } of status.containerStatuses ?? []) {
    if (ready) continue
    const { waiting } = state
    const last = state.terminated ?? lastState.terminated
    if (
      waiting?.reason === 'ErrImagePull' ||
      waiting?.reason === 'ImagePullBackOff' ||
      waiting?.reason === 'InvalidImageName'
    )
      return say(`the image of ${name} cannot be had (${waiting.reason}): ${waiting.message ?? ''}`)
    if (waiting?.reason === 'CreateContainerConfigError')
      return say(`a Secret or ConfigMap is missing: ${waiting.message ?? ''}`)
    if (last !== undefined && (restartCount > 0 || state.terminated))
      return say(
        `${name} ended with code ${last.exitCode ?? '?'} (${last.reason ?? 'no reason'}), ${restartCount} restarts`,
      )
    if (waiting !== undefined && waiting.reason !== 'ContainerCreating' && waiting.reason !== 'PodInitializing')
      return say(`${name} waits: ${waiting.reason ?? ''} ${waiting.message ?? ''}`.trim())
  }
  return status.phase === 'Failed' ? say(`${status.reason ?? 'failed'} ${status.message ?? ''}`.trim()) : undefined
}

const shownLines = 8

/** Problems of the pods with the end of their logs, and how to see more. */
export async function explainPods(
  kubectl: Kubectl,
  selector: string,
  { container, place = namespace }: { container?: string; place?: string } = {},
): Promise<string[]> {
  const pods = await podsOf(kubectl, selector, place).catch(() => [])
  const lines: string[] = []
  const problems = pods.map((pod) => ({ pod, problem: problemOfPod(pod) }))
  for (const { problem } of problems) if (problem !== undefined) lines.push(problem)
  // One log tells: pods of one thing fail alike.
  const worst = problems.find(({ problem }) => problem !== undefined)?.pod ?? pods[0]
  if (worst !== undefined) {
    const from = container === undefined ? ['--all-containers'] : ['-c', container]
    const log = await kubectl
      .run(['-n', place, 'logs', worst.metadata.name, ...from, `--tail=${shownLines}`], { timeoutMs: 10_000 })
      .catch(() => '')
    for (const line of log.trim().split('\n')) if (line !== '') lines.push(`  ${line.slice(0, 400)}`)
  }
  lines.push(
    pods.length === 0
      ? `no pods; see: kubectl -n ${place} get events --sort-by=.lastTimestamp`
      : `more: kubectl -n ${place} logs -l ${selector} ${container === undefined ? '--all-containers' : `-c ${container}`} --prefix --tail=50`,
  )
  return lines
}
