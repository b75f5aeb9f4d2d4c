/** Takes a sample each second. */
import type { ClusterWatch } from './cluster-watch.ts'
import type { LoadSecond, Sample } from './samples.ts'

export type Recorder = {
  samples: readonly Sample[]
  /** Name of what happens now; written into each sample. */
  phase: () => string
  addLoad: (second: LoadSecond) => void
  /** The second that is being recorded. */
  second(): number
  stop(): void
}

/** Six hours: more is a mistake, and memory has an end. */
const maximumSamples = 21_600
/** Looks under way at once. */
const maximumLooks = 4

export type Ticks = (work: () => void) => () => void

export const everySecond: Ticks = (work) => {
  const timer = setInterval(work, 1_000)
  return () => clearInterval(timer)
}

export function startRecorder(options: {
  watch: Pick<ClusterWatch, 'look'>
  onSample: (samples: readonly Sample[]) => void
  ticks?: Ticks
  nowMs?: () => number
}): Recorder {
  const { watch, onSample, ticks = everySecond, nowMs = Date.now } = options
  const samples: Sample[] = []
  const loads: LoadSecond[] = []
  let second = -1
  let looks = 0
  let stopped = false

  const look = async (sample: Sample): Promise<void> => {
    // The cluster answers slower than the seconds pass: this one has only what is known here.
    if (looks >= maximumLooks) return
    looks += 1
    try {
      Object.assign(sample, await watch.look())
    } finally {
      looks -= 1
    }
  }

  const take = () => {
    if (samples.length >= maximumSamples || stopped) return
    // The second before is whole by now, unless the cluster is slow.
    if (samples.length > 0) onSample(samples)
    second += 1
    const sample: Sample = { atMs: nowMs(), second, phase: recorder.phase(), functions: {} }
    const load = loads.shift()
    if (load !== undefined) sample.load = load
    samples.push(sample)
    look(sample).catch(() => undefined)
  }
  const recorder: Recorder = {
    samples,
    phase: () => '',
    addLoad: (load) => void loads.push(load),
    second: () => Math.max(0, second),
    stop() {
      stopped = true
      stopTicks()
    },
  }
  const stopTicks = ticks(take)
  return recorder
}
