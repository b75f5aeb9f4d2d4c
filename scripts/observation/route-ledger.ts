/** Stored orders and rejections as `order` tells them along its route, for who cannot reach the database. */
import type { Route } from '../cluster/route.ts'
import { send } from '../cluster/send.ts'
import type { Ledger } from '../sale/audit.ts'

export type LedgerReader = {
  /** For people. */
  from: string
  read(): Promise<Ledger>
  /** Asks for single order numbers too, where rejections can only be found that way. */
  lookUp?(orderNumbers: readonly string[]): Promise<Set<string>>
  close(): Promise<void>
}

const pageSize = 2_000
const numbersAtOnce = 1_000
/** 1,000,000 orders. */
const maximumPages = 500

type Page = { orders: { orderNumber: string; userId: string; quantity: number; state: string }[]; next: string | null }
type Lookup = { rejections: { orderNumber: string }[] }

export function readLedgerByRoute(
  route: Pick<Route, 'url' | 'host' | 'connect'>,
  token: () => Promise<string>,
  activityId: string,
): LedgerReader {
  const ask = async <T>(path: string, body?: unknown): Promise<T> => {
    const answer = await send(route, path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${await token()}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      timeoutMs: 60_000,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (answer.status !== 200)
      throw new Error(`order answered ${answer.status} to ${path.split('?')[0]}: ${answer.text.slice(0, 200)}`)
    return JSON.parse(answer.text) as T
  }
  return {
    from: 'the function order, along its route',
    async read() {
      const ledger: Ledger = { orders: new Map(), rejected: new Set() }
      let after: string | undefined
      for (let page = 0; page < maximumPages; page++) {
        const { orders, next } = await ask<Page>(
          `/api/v1/order-pages/${activityId}?limit=${pageSize}${after === undefined ? '' : `&after=${after}`}`,
        )
        for (const { orderNumber, userId, quantity, state } of orders)
          ledger.orders.set(orderNumber, {
            orderNumber,
            userId,
            quantity,
            live: state !== 'cancelled' && state !== 'refunded',
            storedAtMs: 0,
          })
        if (next === null) return ledger
        after = next
      }
      throw new Error(`there are more than ${maximumPages * pageSize} orders`)
    },
    async lookUp(orderNumbers) {
      const rejected = new Set<string>()
      for (let at = 0; at < orderNumbers.length; at += numbersAtOnce) {
        const { rejections } = await ask<Lookup>(`/api/v1/order-lookups/${activityId}`, {
          orderNumbers: orderNumbers.slice(at, at + numbersAtOnce),
        })
        for (const { orderNumber } of rejections) rejected.add(orderNumber)
      }
      return rejected
    },
    async close() {},
  }
}
