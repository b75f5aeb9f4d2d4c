/** One look at the cluster: pods, scale, queue-proxies, lag and stock, side by side. */
import { autoscalersPath, scalesOf, type AutoscalerObject, type Scale } from './autoscalers.ts'
import type { Gaps } from './gaps.ts'
import { getJson, type KubeReader } from './kube-read.ts'
import { engineService, findLagSource, type LagSource } from './lag.ts'
import { countPods, phaseOf, serviceLabel, type PodObject } from './pods.ts'
import { createQueueProxies } from './queue-proxies.ts'
import type { ClusterSample, FunctionSample, StockSample } from './samples.ts'

export type ClusterWatch = {
  /** Never rejects: what could not be read is missing. */
  look(): Promise<ClusterSample>
  /** Pods as of the last look, for who needs more than their number. */
  pods(): readonly PodObject[]
  /** Least number of pods of each function, as of the last look. */
  minimums(): Record<string, number>
  /** Where stock is read; undefined while nobody should ask: each question is a request that keeps a pod up. */
  readStock: (() => Promise<StockSample>) | undefined
}

/** A lag source that was not there is looked for again after this time. */
const lookForLagAgainMs = 15_000

export function createClusterWatch(options: {
  api: KubeReader
  namespace: string
  /** Only these functions; undefined: every Knative Service of the namespace. */
  functions?: readonly string[]
  gaps: Gaps
  nowMs?: () => number
}): ClusterWatch {
  const { api, namespace, functions, gaps, nowMs = Date.now } = options
  const readFigures = createQueueProxies({ api, namespace, gaps, nowMs })
  let pods: readonly PodObject[] = []
  let scales = new Map<string, Scale>()
  let lagSource: LagSource | undefined
  let lagAgainAtMs = 0
  let turn = 0
  let newest = 0
  let reading = false

  const readOrGap = async <T>(source: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      gaps.note(source, error)
      return undefined
    }
  }

  const readLag = async (seen: readonly PodObject[]): Promise<Record<string, number> | undefined> => {
    if (lagSource === undefined) {
      if (nowMs() < lagAgainAtMs) return undefined
      lagAgainAtMs = nowMs() + lookForLagAgainMs
      lagSource = await readOrGap('lag', () => findLagSource(api, namespace))
    }
    return lagSource && readOrGap('lag', () => lagSource!.read(seen))
  }

  const isWatched = (name: string) => functions === undefined || functions.includes(name)

  const watch: ClusterWatch = {
    pods: () => pods,
    minimums: () =>
      Object.fromEntries([...scales].filter(([name]) => isWatched(name)).map(([name, { minimum }]) => [name, minimum])),
    readStock: undefined,
    async look() {
      const stockReader = watch.readStock
      turn += 1
      const own = turn
      const [podList, scaleList, stock] = await Promise.all([
        readOrGap('pods', () =>
          getJson<{ items: PodObject[] }>(api, `/api/v1/namespaces/${namespace}/pods?resourceVersion=0`),
        ),
        readOrGap('desired and actual scale', () =>
          getJson<{ items: AutoscalerObject[] }>(api, autoscalersPath(namespace)),
        ),
        stockReader && readOrGap('stock', stockReader),
      ])
      const seen = podList?.items ?? []
      // A slow answer does not take the place of a newer one.
      if (own > newest) {
        newest = own
        if (podList !== undefined) pods = seen
        if (scaleList !== undefined) scales = scalesOf(scaleList.items)
      }
      const scalesSeen = scaleList === undefined ? scales : scalesOf(scaleList.items)

      const byFunction = new Map<string, PodObject[]>(
        [...scalesSeen.keys()].filter(isWatched).map((name) => [name, []]),
      )
      for (const pod of seen) {
        const name = pod.metadata.labels?.[serviceLabel]
        if (name === undefined || !isWatched(name)) continue
        byFunction.set(name, [...(byFunction.get(name) ?? []), pod])
      }
      // What the pods themselves tell is a difference to the reading before: one reading at a time.
      const mayRead = podList !== undefined && !reading
      let figures = new Map<string, FunctionSample>()
      let lag: Record<string, number> | undefined
      if (mayRead) {
        reading = true
        try {
          ;[figures, lag] = await Promise.all([
            readFigures(new Map([...byFunction].map(([name, mine]) => [name, namesOfReady(mine)]))),
            readLag(seen),
          ])
        } finally {
          reading = false
        }
      }
      const functionSamples: Record<string, FunctionSample> = {}
      for (const [name, mine] of byFunction) {
        const scale = scalesSeen.get(name)
        functionSamples[name] = {
          ...(podList === undefined ? {} : { pods: countPods(mine) }),
          ...(scaleList === undefined || scale === undefined ? {} : { desired: scale.desired, actual: scale.actual }),
          ...figures.get(name),
        }
      }
      // The engine scales too, by KEDA; it is no Knative Service and has no queue-proxy.
      if (lagSource?.kind === 'engine' && podList !== undefined) {
        const { selector } = lagSource
        const engines = seen.filter(({ metadata }) =>
          Object.entries(selector).every(([name, value]) => metadata.labels?.[name] === value),
        )
        functionSamples[engineService] = { pods: countPods(engines) }
      }
      return {
        functions: functionSamples,
        ...(lag === undefined ? {} : { lag }),
        ...(stock === undefined ? {} : { stock }),
      }
    },
  }
  return watch
}

const namesOfReady = (pods: readonly PodObject[]): string[] =>
  pods.filter((pod) => phaseOf(pod) === 'ready').map(({ metadata }) => metadata.name)

/** Functions with more pods than their minimum. Pods that end count no more: they only answer what they have taken. */
export function notAtMinimum(sample: Pick<ClusterSample, 'functions'>, minimums: Record<string, number>): string[] {
  return Object.entries(minimums)
    .filter(([name, minimum]) => {
      const pods = sample.functions[name]?.pods
      // Unknown is not "at the minimum".
      return pods === undefined || pods.pending + pods.creating + pods.running + pods.ready > minimum
    })
    .map(([name]) => name)
}
