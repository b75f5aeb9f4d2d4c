const pattern = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/

/** Milliseconds of an ISO 8601 duration of days, hours, minutes and seconds (`PT0.5S`, `P1DT2H`); undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = pattern.exec(text)
  if (!match || match.slice(1).every((part) => part === undefined)) return undefined
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
  ]
  return Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000)
}
