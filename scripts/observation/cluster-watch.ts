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

  const readOrGap = async <T>(source: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      gaps.note(source, error)
      return undefined
    }
  }

  const readLag = async (): Promise<Record<string, number> | undefined> => {
    if (lagSource === undefined) {
      if (nowMs() < lagAgainAtMs) return undefined
      lagAgainAtMs = nowMs() + lookForLagAgainMs
      lagSource = await readOrGap('lag', () => findLagSource(api, namespace))
    }
    return lagSource && readOrGap('lag', () => lagSource!.read(pods))
  }

  const isWatched = (name: string) => functions === undefined || functions.includes(name)

  const watch: ClusterWatch = {
    pods: () => pods,
    minimums: () =>
      Object.fromEntries([...scales].filter(([name]) => isWatched(name)).map(([name, { minimum }]) => [name, minimum])),
    readStock: undefined,
    async look() {
      const stockReader = watch.readStock
      const [podList, scaleList, stock] = await Promise.all([
        readOrGap('pods', () =>
          getJson<{ items: PodObject[] }>(api, `/api/v1/namespaces/${namespace}/pods?resourceVersion=0`),
        ),
        readOrGap('desired and actual scale', () =>
          getJson<{ items: AutoscalerObject[] }>(api, autoscalersPath(namespace)),
        ),
        stockReader && readOrGap('stock', stockReader),
      ])
      if (podList !== undefined) pods = podList.items
      if (scaleList !== undefined) scales = scalesOf(scaleList.items)

      const byFunction = new Map<string, PodObject[]>([...scales.keys()].filter(isWatched).map((name) => [name, []]))
      for (const pod of pods) {
        const name = pod.metadata.labels?.[serviceLabel]
        if (name === undefined || !isWatched(name)) continue
        byFunction.set(name, [...(byFunction.get(name) ?? []), pod])
      }
      const [figures, lag] = await Promise.all([
        podList === undefined
          ? new Map<string, FunctionSample>()
          : readFigures(new Map([...byFunction].map(([name, own]) => [name, namesOfReady(own)]))),
        podList === undefined ? undefined : readLag(),
      ])
      const functionSamples: Record<string, FunctionSample> = {}
      for (const [name, own] of byFunction) {
        const scale = scales.get(name)
        functionSamples[name] = {
          ...(podList === undefined ? {} : { pods: countPods(own) }),
          ...(scaleList === undefined || scale === undefined ? {} : { desired: scale.desired, actual: scale.actual }),
          ...figures.get(name),
        }
      }
      // The engine scales too, by KEDA; it is no Knative Service and has no queue-proxy.
      if (lagSource?.kind === 'engine' && podList !== undefined) {
        const { selector } = lagSource
        const engines = pods.filter(({ metadata }) =>
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

/** Functions that have more pods than their minimum, or some that are still ending. */
export function notAtMinimum(sample: ClusterSample, minimums: Record<string, number>): string[] {
  return Object.entries(minimums)
    .filter(([name, minimum]) => {
      const pods = sample.functions[name]?.pods
      // Unknown is not "at the minimum".
      if (pods === undefined) return true
      return pods.pending + pods.creating + pods.running + pods.terminating > 0 || pods.ready > minimum
    })
    .map(([name]) => name)
}
