/** The access log: a line for each request that failed or was slow, and for a share of the others. No tokens, no queries, no whole addresses. */
import type { Logger } from 'pino'
import type { Exchange } from './exchange.ts'

export type AccessLog = { ended(exchange: Exchange, status: number, tookMs: number): void }

export function createAccessLog(log: Logger, random: () => number): AccessLog {
  const lines = log.child({ log: 'access' })
  return {
    ended(exchange, status, tookMs) {
      const { share, slowMs } = exchange.rules.document.accessLog
      const notable = status >= 500 || (tookMs >= slowMs && !exchange.stream && !exchange.route?.long)
      if (!notable && (share === 0 || random() >= share)) return
      lines.info({
        requestId: exchange.requestId,
        method: exchange.method,
        // Not the path: what stands in it may be somebody's.
        route: exchange.route?.label ?? 'none',
        status,
        tookMs: Math.round(tookMs * 10) / 10,
        upstream: exchange.upstream,
        tenantId: exchange.principal?.tenantId,
        client: maskAddress(exchange.caller?.text),
      })
    },
  }
}

/** `203.0.113.7` → `203.0.113.0`; of IPv6, in its shortest form, the first three groups at most: `2001:db8::7` → `2001:db8::`. */
export function maskAddress(address: string | undefined): string | undefined {
  if (!address?.includes(':')) return address?.replace(/\.\d+$/, '.0')
  // What `::` stands for is zeros, and stays so.
  const [beginning = ''] = address.split('::')
  return `${beginning.split(':').slice(0, 3).join(':')}::`
}
