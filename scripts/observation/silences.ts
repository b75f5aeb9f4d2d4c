/** Seconds in which the cluster told nothing at all: it was away, or the way to it. */
import type { Sample } from './samples.ts'

/** Both seconds belong to it. */
export type Silence = { fromSecond: number; toSecond: number }

/** At the end looks may be under way: what is missing there is no silence yet. */
const stillFilledIn = 4

export function silencesOf(samples: readonly Sample[]): Silence[] {
  const silences: Silence[] = []
  const isSilent = ({ functions, lag, stock }: Sample) =>
    lag === undefined &&
    stock === undefined &&
    Object.values(functions).every((told) => Object.values(told).every((value) => value === undefined))
  for (const sample of samples) {
    if (!isSilent(sample)) continue
    const last = silences.at(-1)
    if (last?.toSecond === sample.second - 1) last.toSecond = sample.second
    else silences.push({ fromSecond: sample.second, toSecond: sample.second })
  }
  const end = samples.at(-1)?.second ?? 0
  return silences.filter(({ fromSecond, toSecond }) => toSecond < end || end - fromSecond >= stillFilledIn)
}

export const silenceLines = (silences: readonly Silence[]): string[] =>
  silences.map(({ fromSecond, toSecond }) =>
    fromSecond === toSecond ? `second ${fromSecond}` : `seconds ${fromSecond} to ${toSecond}`,
  )
