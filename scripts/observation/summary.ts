/** What an observation comes to: the last line of `--json`, the table on the page, the lines in the terminal. */
import type { Audit } from '../sale/audit.ts'
import type { LoadResult, PhaseFigures } from './load-orders.ts'
import { podTotal, type Sample } from './samples.ts'
import { silenceLines, silencesOf, type Silence } from './silences.ts'

export type FunctionSummary = {
  maxPods: number
  maxReadyPods: number
  /** From the begin of the load to the first ready pod; 0 when one was ready, null when none came. */
  secondsToFirstPod: number | null
  /** From the end of the load until it had no more pods than its minimum for the first time (not counting those that end); null: not within the limit. */
  secondsToMinimum: number | null
  minimum: number
}

export type Summary = {
  profile: string
  startedAt: string
  seconds: number
  requests: number
  accepted: number
  /** Answers with 500 and more, and requests without an answer. */
  errors: number
  noAnswer: number
  /** Errors that no function gave: cut connections, an ingress' 502, 503, 504. */
  cut: number
  answers: Record<string, number>
  phases: PhaseFigures[]
  functions: Record<string, FunctionSummary>
  /** The slowest of the functions; null: not all were back at their minimum within the limit. */
  secondsBackToMinimum: number | null
  maxLag: Record<string, number>
  /** Undefined in profiles without a sale, and when the stored orders could not be read. */
  stored?: Pick<Audit, 'ordersStored' | 'oversold' | 'lost' | 'double'> & { stock: number; readFrom: string }
  generator: { notSent: number; maxLoopDelayMs: number; maxCpuShare: number; bottleneck: string | null }
  gaps: { source: string; reason: string; times: number }[]
  /** Seconds in which nothing at all could be read of the cluster. */
  silences: Silence[]
}

export type Span = { beginSecond: number; endSecond: number }

/** `load`: from the second in which the load began to the one in which it ended. */
export function summarise(
  profile: string,
  samples: readonly Sample[],
  load: Span,
  result: LoadResult,
  minimums: Record<string, number>,
  gaps: Summary['gaps'],
): Summary {
  const functions = Object.fromEntries(
    [...new Set(samples.flatMap((sample) => Object.keys(sample.functions)))]
      .sort()
      .map((name) => [name, summariseFunction(samples, name, load, minimums[name])]),
  )
  const backs = Object.keys(minimums).map((name) => functions[name]?.secondsToMinimum ?? null)
  const maxLag: Record<string, number> = {}
  for (const { lag = {} } of samples)
    for (const [name, value] of Object.entries(lag)) maxLag[name] = Math.max(maxLag[name] ?? 0, value)
  return {
    profile,
    startedAt: new Date(samples[0]?.atMs ?? 0).toISOString(),
    seconds: samples.at(-1)?.second ?? 0,
    requests: result.requests,
    accepted: result.accepted,
    errors: result.errors + result.noAnswer,
    noAnswer: result.noAnswer,
    cut: result.cutCount,
    answers: result.answers,
    phases: result.phases,
    functions,
    secondsBackToMinimum: backs.includes(null) ? null : Math.max(0, ...backs.map(Number)),
    maxLag,
    generator: judgeGenerator(samples, result.notSent),
    gaps,
    silences: silencesOf(samples),
  }
}

function summariseFunction(
  samples: readonly Sample[],
  name: string,
  load: Span,
  minimum: number | undefined,
): FunctionSummary {
  const known = samples.flatMap(({ second, functions }) => {
    const pods = functions[name]?.pods
    return pods === undefined ? [] : [{ second, pods }]
  })
  const first = known.find(({ second, pods }) => second >= load.beginSecond && pods.ready > 0)
  // The first time: schedules wake functions up again, and a pod that ends counts no more.
  const rest = known.find(
    ({ second, pods }) => second >= load.endSecond && podTotal(pods) - pods.terminating <= (minimum ?? 0),
  )
  return {
    maxPods: Math.max(0, ...known.map(({ pods }) => podTotal(pods) - pods.terminating)),
    maxReadyPods: Math.max(0, ...known.map(({ pods }) => pods.ready)),
    secondsToFirstPod: first === undefined ? null : first.second - load.beginSecond,
    secondsToMinimum: minimum === undefined || rest === undefined ? null : rest.second - load.endSecond,
    minimum: minimum ?? 0,
  }
}

/** Beyond these the figures say more about the generator than about the cluster. */
const limits = { loopDelayMs: 200, cpuShare: 0.9, secondsInARow: 2 }

export function judgeGenerator(samples: readonly Sample[], notSent: number): Summary['generator'] {
  const loads = samples.flatMap(({ load }) => (load === undefined ? [] : [load]))
  const maxLoopDelayMs = Math.max(0, ...loads.map(({ loopDelayMs }) => loopDelayMs))
  const maxCpuShare = Math.max(0, ...loads.map(({ cpuShare }) => cpuShare))
  const inARow = (is: (load: (typeof loads)[number]) => boolean) =>
    loads.some(
      (_, index) =>
        index + limits.secondsInARow <= loads.length && loads.slice(index, index + limits.secondsInARow).every(is),
    )
  const reasons: string[] = []
  if (notSent > 0) reasons.push(`${notSent} requests were due and not sent`)
  if (inARow(({ cpuShare }) => cpuShare > limits.cpuShare))
    reasons.push(`it used ${Math.round(maxCpuShare * 100)} % of a core`)
  if (inARow(({ loopDelayMs }) => loopDelayMs > limits.loopDelayMs))
    reasons.push(`its event loop was up to ${maxLoopDelayMs} ms late`)
  return {
    notSent,
    maxLoopDelayMs,
    maxCpuShare,
    bottleneck: reasons.length === 0 ? null : `The load generator itself was a bottleneck: ${reasons.join(', ')}.`,
  }
}

const count = (value: number) => value.toLocaleString('en-US')
const milliseconds = (value: number | undefined) => (value === undefined ? '–' : `${value} ms`)
export const secondsText = (value: number | null): string => (value === null ? 'not seen' : `${value} s`)

/** For people. */
export function summaryLines(summary: Summary): string[] {
  const line = (name: string, value: string) => `  ${name.padEnd(42)}  ${value}`
  const { stored } = summary
  return [
    line('requests', `${count(summary.requests)}, accepted ${count(summary.accepted)}`),
    line('errors', `${count(summary.errors)} (no answer ${summary.noAnswer}, cut ${summary.cut})`),
    ...summary.phases.map((phase) =>
      line(
        `phase ${phase.name}`,
        `${count(phase.requests)} requests, p50 ${milliseconds(phase.p50Ms)}, p99 ${milliseconds(phase.p99Ms)}, errors ${phase.errors}`,
      ),
    ),
    ...Object.entries(summary.functions).map(([name, one]) =>
      line(
        name,
        `at most ${one.maxPods} pods, first ready after ${secondsText(one.secondsToFirstPod)}, at its minimum (${one.minimum}) after ${secondsText(one.secondsToMinimum)}`,
      ),
    ),
    line('back at the minimum', `${secondsText(summary.secondsBackToMinimum)} after the load`),
    ...Object.entries(summary.maxLag).map(([name, lag]) => line(`most lag, ${name}`, count(lag))),
    ...(stored === undefined
      ? []
      : [
          line('orders stored', `${count(stored.ordersStored)} (read from ${stored.readFrom})`),
          line('oversold, lost, double', `${stored.oversold}, ${stored.lost}, ${stored.double}`),
        ]),
    ...(summary.generator.bottleneck === null ? [] : [`  ${summary.generator.bottleneck}`]),
    ...summary.gaps.map(({ source, times }) => line('gap', `${source}, ${times} times`)),
    ...silenceLines(summary.silences).map((when) => line('nothing could be read of the cluster', when)),
  ]
}
