const pattern = /^P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/

/** Node's timers cannot wait longer. */
const longestMs = 2 ** 31 - 1

/**
 * Milliseconds of an ISO 8601 duration of days, hours, minutes and seconds (`PT0.5S`, `P1DT2H`); undefined when it is none, or
 * longer than 24 days: a timer would end at once.
 */
export function parseDuration(text: string): number | undefined {
  const match = pattern.exec(text)
  if (!match || match.slice(1).every((part) => part === undefined)) return undefined
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
  ]
  const durationMs = Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000)
  return durationMs <= longestMs ? durationMs : undefined
}
