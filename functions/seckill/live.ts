/**
 * The sale as it runs, for everybody: what is left, sold, confirmed, on its way, and how presses were refused by this process.
 * One text a second is made for each sale that is watched, whoever many watch it.
 */
import { z } from 'zod'
import { Reply, StreamReply, type Principal } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { SaleStore } from '@stampede/shared/sale/types.ts'
import { reasons } from './answers.ts'
import type { Counters } from './counters.ts'
import { eventText, openEventStream, wantsEventStream, type EventStream } from './event-stream.ts'
import type { Sale, SaleCache } from './sale-cache.ts'

export const liveSale = z.object({
  activityId: z.string(),
  state: z.string(),
  startsAt: z.iso.datetime(),
  endsAt: z.iso.datetime(),
  now: z.iso.datetime(),
  total: z.int(),
  left: z.int(),
  sold: z.int(),
  confirmed: z.int(),
  /** Messages that Kafka does not have yet. */
  outbox: z.int(),
  /** Of this process, all sales: presses so far by what became of them, and presses a second of late. */
  presses: z.record(z.string(), z.int()),
  refused: z.record(z.string(), z.int()),
  ratePerSecond: z.number(),
})
export type LiveSale = z.output<typeof liveSale>

export const liveQuery = z.object({
  tenantId: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .optional(),
})

const tickMs = 1_000

export type Live = {
  /** Answers one request: JSON, or a stream when the client asks for one. */
  answer(request: {
    activityId: string
    principal: Principal | undefined
    tenantId: string | undefined
    accept: string | undefined
  }): Promise<Reply | StreamReply>
  clients: () => number
  stop: () => void
}

export function createLive(options: {
  sales: SaleCache
  store: Pick<SaleStore, 'listSales'>
  counters: Counters
  maximumClients: number
  now?: () => number
}): Live {
  const { sales, store, counters, maximumClients, now = Date.now } = options
  const watched = new Map<Sale, Set<EventStream>>()
  let clients = 0
  let rate = 0
  let before = { presses: 0, atMs: now() }

  const measure = (): void => {
    const presses = reasons.reduce((sum, reason) => sum + counters.presses.total(reason), 0)
    const atMs = now()
    rate = atMs > before.atMs ? Math.round(((presses - before.presses) * 1_000) / (atMs - before.atMs)) : 0
    before = { presses, atMs }
  }

  const describe = (sale: Sale): LiveSale => {
    const presses: Record<string, number> = {}
    const refused: Record<string, number> = {}
    for (const reason of reasons) {
      const total = counters.presses.total(reason)
      if (total === 0) continue
      presses[reason] = total
      if (reason !== 'accepted' && reason !== 'replayed') refused[reason] = total
    }
    return {
      activityId: sale.activityId,
      state: sale.state,
      startsAt: new Date(sale.startsAtMs).toISOString(),
      endsAt: new Date(sale.endsAtMs).toISOString(),
      now: new Date(now() + sale.clockOffsetMs).toISOString(),
      total: sale.total,
      left: sale.left,
      sold: sale.sold,
      confirmed: sale.confirmed,
      outbox: sale.outboxLength,
      presses,
      refused,
      ratePerSecond: rate,
    }
  }

  const timer = setInterval(() => {
    measure()
    for (const [sale, streams] of watched) {
      sale.usedAtMs = now()
      const text = eventText('live', describe(sale))
      for (const stream of streams) stream.sendText(text)
    }
  }, tickMs)
  timer.unref()

  const findTenant = async (activityId: string, given: string | undefined): Promise<string> => {
    if (given !== undefined) return given
    const tenants = (await store.listSales()).filter((sale) => sale.activityId === activityId)
    // Several tenants with the same activity id: whoever asks must say which one is meant.
    if (tenants.length !== 1) throw new Problem('not-found', 'There is no sale of this activity.')
    return tenants[0]!.tenantId
  }

  const find = async (activityId: string, tenantId: string | undefined): Promise<Sale> => {
    try {
      const sale = await sales.load(await findTenant(activityId, tenantId), activityId)
      if (sale) {
        sale.usedAtMs = now()
        return sale
      }
    } catch (cause) {
      if (cause instanceof Problem) throw cause
      throw new Problem('dependency-unavailable', 'The sale cannot be read at the moment.', {
        cause,
        retryAfterSeconds: 1,
      })
    }
    throw new Problem('not-found', 'There is no sale of this activity.')
  }

  const watch = async (sale: Sale, stream: EventStream, signal: AbortSignal): Promise<void> => {
    clients += 1
    let streams = watched.get(sale)
    if (!streams) watched.set(sale, (streams = new Set()))
    streams.add(stream)
    stream.send('live', describe(sale))
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    clients -= 1
    streams.delete(stream)
    if (streams.size === 0) watched.delete(sale)
    stream.end()
  }

  return {
    async answer({ activityId, principal, tenantId, accept }) {
      const sale = await find(activityId, principal?.tenantId ?? tenantId)
      if (!wantsEventStream(accept)) {
        // Not older than a poll; a sale that nobody pressed for a while is read again.
        if (now() - sale.readAtMs > 2 * tickMs) await sales.refresh(sale).catch(() => {})
        return new Reply(200, describe(sale))
      }
      if (clients >= maximumClients) {
        throw new Problem('overloaded', 'Too many watch already; ask without a stream.', { retryAfterSeconds: 5 })
      }
      return new StreamReply((response, signal) => watch(sale, openEventStream(response), signal))
    },
    clients: () => clients,
    stop: () => clearInterval(timer),
  }
}
