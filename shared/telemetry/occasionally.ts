/** At most one call in `everyMs` (default a second), of what would be reported thousands of times under load. Calls in between are left out. */
export function occasionally<T>(
  report: (value: T) => void,
  { everyMs = 1_000, monotonicMs = () => performance.now() }: { everyMs?: number; monotonicMs?: () => number } = {},
): (value: T) => void {
  let nextAtMs = Number.NEGATIVE_INFINITY
  return (value) => {
    const nowMs = monotonicMs()
    if (nowMs < nextAtMs) return
    nextAtMs = nowMs + everyMs
    report(value)
  }
}
