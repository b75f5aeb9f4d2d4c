/** At most one call a second, of what would be reported thousands of times under load. Calls in between are left out. */
export function occasionally<T>(
  report: (value: T) => void,
  monotonicMs: () => number = () => performance.now(),
): (value: T) => void {
  let nextAtMs = Number.NEGATIVE_INFINITY
  return (value) => {
    const nowMs = monotonicMs()
    if (nowMs < nextAtMs) return
    nextAtMs = nowMs + 1_000
    report(value)
  }
}
