/** How a host ends: nothing that was accepted is cut off, and everything has a limit. */
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Host } from './host.ts'
import type { Runtime } from './runtime.ts'

/** After the time for draining the handlers' signals are aborted; this long they have to answer. */
const lastWordsMs = 500
const stopTimeoutMs = 10_000
const idleSweepMs = 50

/**
 * Not ready → (delay) → nothing new is accepted, background loops and streams end → requests in flight are answered → each
 * function's `stop`. `delayMs` is the time in which proxies learn that this process is not ready.
 */
export async function endHost(host: Host, runtime: Runtime, delayMs: number): Promise<void> {
  host.closing = true
  if (delayMs > 0) await sleep(delayMs)
  host.draining.abort()
  await drainServer(host, runtime)
  await stopFunctions(host)
  await Promise.all([host.access.close(), host.alarms.close()])
  host.retries.close()
  for (const registry of host.registries) registry.clear()
}

/** Calls each function's `stop` with a time limit; a failure is logged and keeps no other from stopping. */
export async function stopFunctions(host: Host): Promise<void> {
  await Promise.all(
    host.mounted.map(async ({ definition, dependencies, log }) => {
      if (!definition.stop) return
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new Error(`stop took longer than ${stopTimeoutMs} ms`)), stopTimeoutMs)
      try {
        await Promise.race([definition.stop(dependencies), late])
      } catch (error) {
        log.error({ error }, 'the function did not stop cleanly')
      } finally {
        clearTimeout(timer)
      }
    }),
  )
}

async function drainServer(host: Host, runtime: Runtime): Promise<void> {
  const { server, closeIdle } = runtime
  const closed = runtime.close().then(() => 'closed' as const)
  closeIdle()
  // Connections whose request was in flight become idle later.
  const sweep = setInterval(closeIdle, idleSweepMs)
  const limit = new AbortController()
  const timeout = async (ms: number) =>
    sleep(ms, 'late' as const, { signal: limit.signal }).catch(() => 'late' as const)
  try {
    if ((await Promise.race([closed, timeout(host.config.DRAIN_TIMEOUT_MS)])) === 'closed') return
    host.log.error('requests are still in flight after the time for draining; they are given up')
    host.ending.abort()
    if ((await Promise.race([closed, timeout(lastWordsMs)])) === 'late') server.closeAllConnections()
    await closed
  } finally {
    clearInterval(sweep)
    limit.abort()
  }
}

/**
 * Makes the host answer for the process: signals drain and exit with 0, a second signal exits at once, whatever was thrown
 * and not caught is logged and exits with 1: after that nothing in the process can be trusted, not even draining.
 */
export function ownProcess(stop: () => Promise<void>, log: Logger): void {
  let ending = false
  const end = (signal: string) => {
    if (ending) process.exit(1)
    ending = true
    log.info({ signal }, 'draining')
    stop().then(
      () => {
        log.info('stopped')
        process.exit(0)
      },
      (error: unknown) => {
        log.fatal({ error }, 'stopping failed')
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, end)
  const fail = (kind: string) => (error: unknown) => {
    log.fatal({ error }, kind)
    process.exit(1)
  }
  process.on('uncaughtException', fail('uncaught exception'))
  process.on('unhandledRejection', fail('unhandled rejection'))
}
