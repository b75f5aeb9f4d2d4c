/**
 * The body of a purchase, checked by hand: `{ quantity?: 1..1000, idempotencyKey?: [A-Za-z0-9_-]{1,64} }`, nothing else.
 * The hot path has no microseconds for a schema library. The zod schema beside it is for the documents; a test compares the two.
 */
import { z } from 'zod'
import type { InputError } from '@stampede/shared/http/problem.ts'

export const purchaseInput = z.strictObject({
  quantity: z.int().min(1).max(1_000).default(1),
  idempotencyKey: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .optional(),
})

/** The seed route's body; identifiers may be numbers there. */
export const orderCreateInput = z.strictObject({
  userId: z.union([z.string().regex(/^[A-Za-z0-9_-]{1,64}$/), z.int().nonnegative()]),
  activityId: z.union([z.string().regex(/^[A-Za-z0-9_-]{1,64}$/), z.int().nonnegative()]),
  quantity: z.int().min(1).max(1_000).default(1),
})

export type PurchaseInput = { quantity: number; idempotencyKey: string | undefined }
export type OrderCreateInput = { userId: string; activityId: string; quantity: number }

/** Bodies are flat and small; no honest one is near this. */
export const maximumBodyBytes = 1_024

const identifier = /^[A-Za-z0-9_-]{1,64}$/
const justOne: PurchaseInput = Object.freeze({ quantity: 1, idempotencyKey: undefined })

const quantityError: InputError[] = [{ pointer: '/quantity', detail: 'a whole number from 1 to 1000' }]
const keyError: InputError[] = [{ pointer: '/idempotencyKey', detail: '1 to 64 letters, digits, - or _' }]
const jsonError: InputError[] = [{ pointer: '', detail: 'not valid JSON' }]
const objectError: InputError[] = [{ pointer: '', detail: 'not an object' }]
const unknownError: InputError[] = [{ pointer: '', detail: 'a member that is not known' }]
const userError: InputError[] = [{ pointer: '/userId', detail: '1 to 64 letters, digits, - or _' }]
const activityError: InputError[] = [{ pointer: '/activityId', detail: '1 to 64 letters, digits, - or _' }]

const isQuantity = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1_000

function parseObject(text: string): Record<string, unknown> | InputError[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return jsonError
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return objectError
  return value as Record<string, unknown>
}

/** Reads the body of a purchase; an empty one means one piece. Never throws. */
export function parsePurchase(text: string): PurchaseInput | InputError[] {
  if (text === '' || text === '{}' || text === '{"quantity":1}') return justOne
  const value = parseObject(text)
  if (Array.isArray(value)) return value
  let quantity = 1
  let idempotencyKey: string | undefined
  for (const name of Object.keys(value)) {
    const member = value[name]
    if (name === 'quantity') {
      if (!isQuantity(member)) return quantityError
      quantity = member
    } else if (name === 'idempotencyKey') {
      if (typeof member !== 'string' || !identifier.test(member)) return keyError
      idempotencyKey = member
    } else return unknownError
  }
  return { quantity, idempotencyKey }
}

const asIdentifier = (value: unknown): string | undefined => {
  if (typeof value === 'string') return identifier.test(value) ? value : undefined
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? String(value) : undefined
}

/** Reads the body of the seed route. Never throws. */
export function parseOrderCreate(text: string): OrderCreateInput | InputError[] {
  const value = parseObject(text)
  if (Array.isArray(value)) return value
  for (const name of Object.keys(value)) {
    if (name !== 'userId' && name !== 'activityId' && name !== 'quantity') return unknownError
  }
  const userId = asIdentifier(value['userId'])
  if (userId === undefined) return userError
  const activityId = asIdentifier(value['activityId'])
  if (activityId === undefined) return activityError
  const quantity = value['quantity'] === undefined ? 1 : value['quantity']
  if (!isQuantity(quantity)) return quantityError
  return { userId, activityId, quantity }
}
