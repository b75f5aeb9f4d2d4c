/**
 * How long the first answer takes from zero pods, along the route: each function and a hello function of the same runtime image, in
 * rounds, so that both meet the same machine.
 */
import { median } from '../bench/context.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubectl } from '../cluster/kubectl.ts'
import type { RouteAnswer } from '../cluster/send.ts'
import type { Say } from '../lib/terminal.ts'
import { createService, quickScale, readTemplate, type ServiceCopy } from './copy-service.ts'
import { getJsonPatiently, type KubeReader } from './kube-read.ts'
import { countPods, type PodObject } from './pods.ts'
import { podTotal } from './samples.ts'

/** Of the same runtime, in the same pod as the first function: its resources, security, environment and volumes. */
export const helloName = 'hello'
/** The same without volumes and environment: the kubelet looks for mounted volumes only every 300 ms. */
export const bareHelloName = 'hello-bare'

export type ColdStart = {
  name: string
  /** Milliseconds to the whole answer, one for each round. */
  roundsMs: number[]
  medianMs: number
  /** To the median of hello, what the function itself costs; null without one. */
  ratioToHello: number | null
  /** To the median of the hello without volumes and environment; null without one. */
  ratioToBareHello: number | null
}

export type ColdStartTarget = {
  name: string
  /** One request along the route. */
  send(): Promise<Pick<RouteAnswer, 'status' | 'headers' | 'durationMs'>>
  /** All pods, those that end too. */
  countPods(): Promise<number>
}

export type ColdStartOptions = { rounds: number; zeroWithinMs: number }

const lookEveryMs = 500
/** After the last pod is gone: the machine comes to rest. */
const restMs = 2_000

/** @throws Error when a target does not come to zero, or somebody else answers for it */
export async function measureColdStarts(
  targets: readonly ColdStartTarget[],
  { rounds, zeroWithinMs }: ColdStartOptions,
  {
    say,
    sleep: rest = sleep,
    nowMs = () => performance.now(),
    random = Math.random,
  }: { say: Say; sleep?: (ms: number) => Promise<unknown>; nowMs?: () => number; random?: () => number },
): Promise<ColdStart[]> {
  const measured = new Map(targets.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    // The pods of those before go away meanwhile: nobody is always behind the same one.
    for (const target of shuffled(targets, random)) {
      const deadlineMs = nowMs() + zeroWithinMs
      while ((await target.countPods()) > 0) {
        if (nowMs() > deadlineMs) throw new Error(`${target.name} still has pods after ${zeroWithinMs / 1_000} s`)
        await rest(lookEveryMs)
      }
      await rest(restMs)
      const answer = await target.send()
      if (!isFromFunction(answer)) throw new Error(`${target.name} answered ${answer.status} from zero`)
      const { durationMs } = answer
      say(`Round ${round + 1}: ${target.name} answered after ${Math.round(durationMs)} ms`)
      measured.get(target.name)!.push(Math.round(durationMs))
    }
  }
  return compareColdStarts(measured)
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const order = [...items]
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[order[last], order[other]] = [order[other]!, order[last]!]
  }
  return order
}

/** The gateway does not show its own pages to the street: it says in a problem document that there is nothing. An ingress says so otherwise. */
const isFromFunction = ({ status, headers }: Pick<RouteAnswer, 'status' | 'headers'>): boolean =>
  status === 200 || (status === 404 && headers['content-type']?.startsWith('application/problem+json') === true)

export function compareColdStarts(measured: ReadonlyMap<string, readonly number[]>): ColdStart[] {
  const ratioTo = (name: string, medianMs: number): number | null => {
    const rounds = measured.get(name)
    const otherMs = rounds === undefined ? 0 : median(rounds)
    return otherMs === 0 ? null : Math.round((medianMs / otherMs) * 1_000) / 1_000
  }
  return [...measured].map(([name, roundsMs]) => {
    const medianMs = median(roundsMs)
    return {
      name,
      roundsMs: [...roundsMs],
      medianMs,
      ratioToHello: ratioTo(helloName, medianMs),
      ratioToBareHello: ratioTo(bareHelloName, medianMs),
    }
  })
}

export type ColdStartCluster = {
  kubectl: Kubectl
  api: KubeReader
  namespace: string
  /** Sends a GET along the route of a Service; without a path for what every function is asked for. */
  get(service: string, path?: string): Promise<RouteAnswer>
  /** Called with what has to be taken away at the end, whatever happens. */
  defer: (undo: () => Promise<void>) => void
  say: Say
}

const copyName = (name: string) => `cold-${name}`

/**
 * Measures copies of the functions, so that those that never go to zero can be measured and nothing that is used is stopped.
 * `helloImage`: of the same runtime; it gets the pod of the first function, and a second time what is left of that without volumes and environment.
 */
export async function runColdStarts(
  cluster: ColdStartCluster,
  options: ColdStartOptions & { functions: readonly string[]; helloImage: string | undefined },
): Promise<ColdStart[]> {
  const { kubectl, namespace, say, defer } = cluster
  const annotations = {
    ...quickScale,
    'autoscaling.knative.dev/min-scale': '0',
    'autoscaling.knative.dev/initial-scale': '1',
    // Knative refuses 1, which is what it does without.
    'autoscaling.knative.dev/activation-scale': undefined,
  }
  const targets: ColdStartTarget[] = []
  const add = async (name: string, create: () => Promise<ServiceCopy>, path?: string) => {
    say(`Making ${copyName(name)} …`)
    const copy = await create()
    defer(() => copy.remove())
    targets.push({ name, send: () => cluster.get(copy.name, path), countPods: () => countOf(cluster, copy.name) })
  }
  for (const service of options.functions) {
    const { template, clusterLocal } = await readTemplate(kubectl, namespace, service)
    await add(service, () =>
      createService(kubectl, { namespace, name: copyName(service), template, annotations, clusterLocal }),
    )
  }
  const [first] = options.functions
  if (options.helloImage !== undefined && first !== undefined) {
    const { template } = await readTemplate(kubectl, namespace, first)
    for (const [name, spec] of [
      [helloName, helloSpec(template.spec, options.helloImage)],
      [bareHelloName, withoutSurroundings(helloSpec(template.spec, options.helloImage))],
    ] as const)
      // Its own health pages answer 503 ("overload-protection") when its start kept the event loop for more than 42 ms.
      await add(
        name,
        () => createService(kubectl, { namespace, name: copyName(name), template: { ...template, spec }, annotations }),
        '/',
      )
  }
  return measureColdStarts(targets, options, { say })
}

type Container = Record<string, unknown>

/** The same pod with another image: what differs in the measure is the function alone. */
export function helloSpec(spec: Record<string, unknown>, image: string): Record<string, unknown> {
  const [container = {}] = (spec['containers'] ?? []) as Container[]
  const { command: _command, args: _args, ...rest } = container
  return { ...spec, containers: [{ ...rest, image }] }
}

export function withoutSurroundings(spec: Record<string, unknown>): Record<string, unknown> {
  const { volumes: _volumes, ...around } = spec
  const containers = ((spec['containers'] ?? []) as Container[]).map(
    ({ env: _env, envFrom: _envFrom, volumeMounts: _mounts, ...rest }) => rest,
  )
  return { ...around, containers }
}

async function countOf({ api, namespace }: ColdStartCluster, service: string): Promise<number> {
  const selector = encodeURIComponent(`serving.knative.dev/service=${service}`)
  const { items } = await getJsonPatiently<{ items: PodObject[] }>(
    api,
    `/api/v1/namespaces/${namespace}/pods?labelSelector=${selector}`,
  )
  return podTotal(countPods(items))
}

export function coldStartLines(results: readonly ColdStart[]): string[] {
  const times = (ratio: number | null, of: string) => (ratio === null ? '' : `   ${ratio.toFixed(2)} × ${of}`)
  return results.map(
    ({ name, medianMs, ratioToHello, ratioToBareHello, roundsMs }) =>
      `  ${name.padEnd(18)}${String(medianMs).padStart(6)} ms${times(ratioToHello, helloName)}${times(ratioToBareHello, bareHelloName)}   (${roundsMs.join(', ')})`,
  )
}
