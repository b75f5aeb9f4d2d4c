/**
 * What is written down each second. An undefined value was not known in that second: it stays a gap in the table and in the plots
 * and is never taken for zero.
 */
export type PodCounts = {
  /** Not on a node yet. */
  pending: number
  /** On a node; its containers are being made. */
  creating: number
  /** All containers were started, not ready. */
  running: number
  ready: number
  terminating: number
}

export const podPhases = [
  'pending',
  'creating',
  'running',
  'ready',
  'terminating',
] as const satisfies (keyof PodCounts)[]

export type FunctionSample = {
  pods?: PodCounts
  /** Pods that the autoscaler wants, over all revisions. */
  desired?: number
  /** Ready pods that it knows of. */
  actual?: number
  /** Average requests in work over the last second, all pods, as their queue-proxies report it to the autoscaler. */
  concurrency?: number
  requestsPerSecond?: number
  /** From the histograms of the queue-proxies, over the last second. */
  p50Ms?: number
  p99Ms?: number
  /** Answers with 500 and more. */
  errors?: number
}

/** What is left of the sale's stock. */
export type StockSample = { left: number; sold: number; confirmed: number; outbox: number }

/** One second of the load generator. */
export type LoadSecond = {
  /** Requests that the plan has in this second. */
  target: number
  sent: number
  accepted: number
  /** True answers that say no: sold out, duplicate, … */
  refused: number
  /** Answers with 500 and more. */
  errors: number
  /** Of these and of the unanswered: those that no function gave (an ingress' 502, 503, 504; a connection that was cut). */
  cut: number
  /** No answer within the time limit, or the connection broke. */
  noAnswer: number
  p50Ms?: number
  p99Ms?: number
  inFlight: number
  /** Due and not sent: the limit of requests in flight was reached. */
  notSent: number
  /** The generator's own event loop was late by this much at the most. */
  loopDelayMs: number
  /** Share of one core that the generator used. */
  cpuShare: number
}

export type Sample = {
  atMs: number
  /** Since the observation began. */
  second: number
  phase: string
  functions: Record<string, FunctionSample>
  /** Records that wait, by consumer. */
  lag?: Record<string, number>
  stock?: StockSample
  load?: LoadSecond
}

/** What the cluster tells in one second; the load generator adds its own. */
export type ClusterSample = Pick<Sample, 'functions' | 'lag' | 'stock'>

export const podTotal = (pods: PodCounts): number =>
  pods.pending + pods.creating + pods.running + pods.ready + pods.terminating
