/** The columns of the table: one list that makes the CSV, its description, and nothing else. */
import { podPhases, type FunctionSample, type LoadSecond, type Sample, type StockSample } from './samples.ts'

export type Column = { name: string; description: string; value: (sample: Sample) => number | string | undefined }

const loadColumns: [keyof LoadSecond, string, string][] = [
  ['target', 'load_target_per_second', 'requests that the plan has in this second'],
  ['sent', 'load_sent_per_second', 'requests sent'],
  ['accepted', 'load_accepted_per_second', 'answered 202'],
  ['refused', 'load_refused_per_second', 'answered no: sold out, duplicate, …'],
  ['errors', 'load_errors_per_second', 'answered with 500 or more'],
  ['noAnswer', 'load_no_answer_per_second', 'no answer in time, or the connection broke'],
  ['cut', 'load_cut_per_second', 'of errors and unanswered: those that no function answered'],
  ['p50Ms', 'load_p50_ms', 'median time to the answer, seen by the load generator'],
  ['p99Ms', 'load_p99_ms', 'time below which 99 % of the answers came'],
  ['inFlight', 'load_in_flight', 'requests without an answer yet, at the end of the second'],
  ['notSent', 'load_not_sent_per_second', 'due and not sent: too many in flight'],
  ['loopDelayMs', 'generator_loop_delay_ms', "longest delay of the load generator's own event loop"],
  ['cpuShare', 'generator_cpu_share', 'share of one core that the load generator used'],
]

const functionColumns: [Exclude<keyof FunctionSample, 'pods'>, string, string][] = [
  ['desired', 'desired', 'pods that the autoscaler wants (PodAutoscaler)'],
  ['actual', 'actual', 'ready pods that the autoscaler knows of (PodAutoscaler)'],
  ['concurrency', 'concurrency', 'requests in work on average, all pods (queue-proxy, port 9090)'],
  ['requestsPerSecond', 'requests_per_second', 'requests, all pods (queue-proxy, port 9090)'],
  ['p50Ms', 'p50_ms', 'median in the pods (queue-proxy, port 9091)'],
  ['p99Ms', 'p99_ms', '99th percentile in the pods (queue-proxy, port 9091)'],
  ['errors', 'errors_per_second', 'answers with 500 or more in the pods (queue-proxy, port 9091)'],
]

const stockColumns: [keyof StockSample, string][] = [
  ['left', 'units that are left'],
  ['sold', 'units sold'],
  ['confirmed', 'units whose orders are stored'],
  ['outbox', 'purchases that Kafka does not have yet'],
]

const snake = (name: string) => name.replaceAll(/[^A-Za-z0-9]+/g, '_').toLowerCase()

/** Functions and consumers as they occur in the samples, in the order of their names. */
export function columnsOf(samples: readonly Sample[]): Column[] {
  const functions = namesIn(samples, (sample) => sample.functions)
  const consumers = namesIn(samples, (sample) => sample.lag ?? {})
  return [
    { name: 'time', description: 'UTC', value: ({ atMs }) => new Date(atMs).toISOString() },
    { name: 'second', description: 'since the observation began', value: ({ second }) => second },
    { name: 'phase', description: 'phase of the load', value: ({ phase }) => phase },
    ...loadColumns.map(([key, name, description]) => ({
      name,
      description,
      value: ({ load }: Sample) => load?.[key],
    })),
    ...functions.flatMap((name) => [
      ...podPhases.map((phase) => ({
        name: `${snake(name)}_pods_${phase}`,
        description: `${name}: pods that are ${phase}`,
        value: ({ functions: all }: Sample) => all[name]?.pods?.[phase],
      })),
      ...functionColumns.map(([key, suffix, description]) => ({
        name: `${snake(name)}_${suffix}`,
        description: `${name}: ${description}`,
        value: ({ functions: all }: Sample) => all[name]?.[key],
      })),
    ]),
    ...consumers.map((name) => ({
      name: `lag_${snake(name)}`,
      description: `records that wait for ${name}`,
      value: ({ lag }: Sample) => lag?.[name],
    })),
    ...stockColumns.map(([key, description]) => ({
      name: `stock_${key}`,
      description,
      value: ({ stock }: Sample) => stock?.[key],
    })),
  ]
}

export function namesIn(samples: readonly Sample[], of: (sample: Sample) => Record<string, unknown>): string[] {
  return [...new Set(samples.flatMap((sample) => Object.keys(of(sample))))].sort()
}

/** RFC 4180; an unknown value is an empty field. */
export function toCsv(samples: readonly Sample[]): string {
  const columns = columnsOf(samples)
  const lines = [
    columns.map(({ name }) => name),
    ...samples.map((sample) => columns.map(({ value }) => field(value(sample)))),
  ]
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`
}

function field(value: number | string | undefined): string {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return ''
  if (typeof value === 'number') return String(Math.round(value * 1_000) / 1_000)
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}
