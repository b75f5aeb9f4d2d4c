/**
 * Readiness asks every function, with a time limit, and remembers the answer for a second, so that probes cost nothing.
 * Liveness needs no code: a process that answers is alive, also under load.
 */
import type { Host } from './host.ts'

export type Readiness = { ready: true } | { ready: false; reasons: Record<string, string> }

const askTimeoutMs = 2_000
const rememberMs = 1_000

export function createReadiness(host: Host, now: () => number = Date.now): () => Promise<Readiness> {
  let last: { atMs: number; answer: Promise<Readiness> } | undefined
  return async () => {
    if (host.closing) return { ready: false, reasons: { host: 'draining' } }
    const nowMs = now()
    if (!last || nowMs - last.atMs >= rememberMs) last = { atMs: nowMs, answer: ask(host) }
    return last.answer
  }
}

async function ask(host: Host): Promise<Readiness> {
  const reasons: Record<string, string> = {}
  await Promise.all(
    host.mounted.map(async ({ definition, dependencies, log }) => {
      if (!definition.ready) return
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new Error(`no answer within ${askTimeoutMs} ms`)), askTimeoutMs)
      try {
        await Promise.race([definition.ready(dependencies), late])
      } catch (error) {
        // The message goes to the log; probes are readable by anyone.
        log.warn({ error }, 'not ready')
        reasons[definition.name] = 'not ready'
      } finally {
        clearTimeout(timer)
      }
    }),
  )
  return Object.keys(reasons).length === 0 ? { ready: true } : { ready: false, reasons }
}
