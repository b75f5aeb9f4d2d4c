import type { BuyerEntry } from './types.ts'

const statuses = { a: 'accepted', c: 'confirmed', x: 'released' } as const

/** The value of a buyer's field, `orderNumber:quantity:status:idempotencyKey` joined by ','. */
export function parseBuyerEntries(value: string | null | undefined): BuyerEntry[] {
  if (!value) return []
  return value.split(',').map((entry) => {
    const [orderNumber = '', quantity = '', status = ''] = entry.split(':')
    return { orderNumber, quantity: Number(quantity), status: statuses[status as keyof typeof statuses] }
  })
}
