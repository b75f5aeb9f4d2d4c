/**
 * Ends a command in order. The first Ctrl-C (or SIGTERM, SIGHUP) calls `end`; a second one a moment later ends the process at
 * once. The same signal often arrives twice at nearly the same time, from the terminal and from npm: that counts as one.
 * Returns a function that takes the handlers away.
 */
export function onInterrupt(
  end: (signal: NodeJS.Signals) => void,
  options: { impatient?: () => void; nowMs?: () => number } = {},
): () => void {
  const nowMs = options.nowMs ?? (() => performance.now())
  const impatient = options.impatient ?? (() => process.exit(130))
  let firstMs: number | undefined
  const handle = (signal: NodeJS.Signals) => {
    if (firstMs === undefined) {
      firstMs = nowMs()
      end(signal)
    } else if (nowMs() - firstMs > sameMomentMs) {
      impatient()
    }
  }
  for (const signal of signals) process.on(signal, handle)
  return () => {
    for (const signal of signals) process.off(signal, handle)
  }
}

const sameMomentMs = 1_000
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
