/** Concurrency, rate, latency and errors of each function, from the queue-proxies of its pods. */
import type { Gaps } from './gaps.ts'
import { podBytes, podText, type KubeReader } from './kube-read.ts'
import { addCounts, countsBetween, readRequestCounts, type RequestCounts } from './request-metrics.ts'
import { quantile } from './prometheus-text.ts'
import type { FunctionSample } from './samples.ts'
import { readStat, type Stat } from './stat-message.ts'

type Figures = Pick<FunctionSample, 'concurrency' | 'requestsPerSecond' | 'p50Ms' | 'p99Ms' | 'errors'>

const statPort = 9_090
const requestsPort = 9_091
/** More pods than this are not asked each second. */
const maximumPods = 60
/** After port 9091 did not answer anywhere it is left alone for this long: by default nothing listens there. */
const askAgainMs = 30_000

export function createQueueProxies(options: {
  api: KubeReader
  namespace: string
  gaps: Gaps
  nowMs?: () => number
}): (podsByFunction: ReadonlyMap<string, readonly string[]>) => Promise<Map<string, Figures>> {
  const { api, namespace, gaps, nowMs = Date.now } = options
  const before = new Map<string, RequestCounts>()
  let requestsAgainAtMs = 0
  let everAnswered = false

  const statOf = async (pod: string): Promise<Stat | undefined> => {
    try {
      const stat = readStat(await podBytes(api, namespace, pod, statPort, '/metrics'))
      if (stat === undefined) gaps.note('concurrency and rate', `port ${statPort} of ${pod} gave something else`)
      return stat
    } catch (error) {
      gaps.note('concurrency and rate of a pod', error)
      return undefined
    }
  }

  /** What came since the last reading; nothing on the first one of a pod that was there before. */
  const requestsOf = async (pod: string, first: boolean): Promise<RequestCounts | 'unreadable'> => {
    try {
      const counts = readRequestCounts(await podText(api, namespace, pod, requestsPort, '/metrics'))
      everAnswered = true
      const nothing: RequestCounts = { requests: 0, errors: 0, buckets: new Map() }
      if (counts === undefined) return nothing
      const known = before.get(pod)
      before.set(pod, counts)
      return known === undefined && first ? nothing : countsBetween(known, counts)
    } catch (error) {
      const hint = everAnswered
        ? ''
        : '; it needs request-metrics-protocol: prometheus in ConfigMap knative-serving/config-observability'
      const reason = error instanceof Error ? error.message : String(error)
      gaps.note(`latency and errors at a queue-proxy (port ${requestsPort})`, `${reason}${hint}`)
      return 'unreadable'
    }
  }
  let firstRound = true

  return async (podsByFunction) => {
    const all = [...podsByFunction.values()].flat()
    if (all.length > maximumPods) {
      gaps.note('concurrency and rate', `${all.length} pods, more than ${maximumPods} are not asked each second`)
      return new Map()
    }
    for (const pod of before.keys()) if (!all.includes(pod)) before.delete(pod)
    const askRequests = nowMs() >= requestsAgainAtMs
    let answered = 0
    const entries = await Promise.all(
      [...podsByFunction].map(async ([name, pods]): Promise<[string, Figures]> => {
        const [stats, requests] = await Promise.all([
          Promise.all(pods.map(statOf)),
          Promise.all(askRequests ? pods.map((pod) => requestsOf(pod, firstRound)) : []),
        ])
        const figures: Figures = {}
        // A sum with a part missing would be a made-up number.
        if (stats.every((stat) => stat !== undefined)) {
          figures.concurrency = stats.reduce((sum, stat) => sum + stat.concurrency, 0)
          figures.requestsPerSecond = stats.reduce((sum, stat) => sum + stat.requestsPerSecond, 0)
        }
        const counted = requests.filter((one): one is RequestCounts => one !== 'unreadable')
        answered += counted.length
        if (askRequests && pods.length > 0 && counted.length === pods.length) {
          const sum = counted.reduce((one, other) => addCounts(one, other))
          figures.errors = sum.errors
          const p50Ms = quantile(sum.buckets, 0.5)
          const p99Ms = quantile(sum.buckets, 0.99)
          if (p50Ms !== undefined && p99Ms !== undefined) Object.assign(figures, { p50Ms, p99Ms })
        }
        return [name, figures]
      }),
    )
    if (askRequests && all.length > 0 && answered === 0) requestsAgainAtMs = nowMs() + askAgainMs
    if (all.length > 0) firstRound = false
    return new Map(entries)
  }
}
