/**
 * How batches travel to the scripts and back: one string each way, because each argument and each element of a reply costs ioredis more than
 * all the characters in it. '.' stands for what is missing: no identifier contains it.
 */
import type { OutboxEntry, Purchase, PurchaseBatchResult, PurchaseVerdict, SaleOperation } from './types.ts'

/** The scripts refuse larger batches: Lua's stack and the time that one script holds Redis are limited. */
export const maximumBatch = 256

// Comes from a header of the client: anything else must not reach the line format.
const traceparentPattern = /^[0-9a-f-]{55}$/

/** Lines `userId quantity orderNumber idempotencyKey traceparent`. */
export function packPurchases(purchases: readonly Purchase[]): string {
  let packed = ''
  for (let i = 0; i < purchases.length; i++) {
    const { userId, quantity, orderNumber, idempotencyKey, traceparent } = purchases[i]!
    if (i > 0) packed += '\n'
    packed += userId + ' ' + quantity + ' ' + orderNumber + (idempotencyKey ? ' ' + idempotencyKey : ' .')
    packed += traceparent !== undefined && traceparentPattern.test(traceparent) ? ' ' + traceparent : ' .'
  }
  return packed
}

/** Lines `userId orderNumber`. */
export function packOrders(orders: readonly { userId: string; orderNumber: string }[]): string {
  let packed = ''
  for (let i = 0; i < orders.length; i++) {
    const { userId, orderNumber } = orders[i]!
    packed += (i > 0 ? '\n' : '') + userId + ' ' + orderNumber
  }
  return packed
}

/** Lines `userId quantity orderNumber idempotencyKey`; a release has the quantity 0. */
export function packOperations(operations: readonly SaleOperation[]): string {
  let packed = ''
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i]!
    if (i > 0) packed += '\n'
    packed +=
      operation.kind === 'purchase'
        ? `${operation.userId} ${operation.quantity} ${operation.orderNumber} ${operation.idempotencyKey ?? '.'}`
        : `${operation.userId} 0 ${operation.orderNumber} .`
  }
  return packed
}

const soldOut: PurchaseVerdict = { outcome: 'sold-out' }
const batchVerdicts: Record<string, PurchaseVerdict> = {
  U: { outcome: 'unknown-activity' },
  R: { outcome: 'recovering' },
  P: { outcome: 'paused' },
  C: { outcome: 'closed' },
  E: { outcome: 'ended' },
}

/** The reply of `lua/purchase.lua` to these purchases. Throws when the script refused the batch as malformed. */
export function parseVerdicts(reply: string, purchases: readonly Purchase[]): PurchaseBatchResult {
  const first = reply.charCodeAt(0)
  if (first > 57 /* not a digit, so a code for the whole batch */) {
    const verdict = batchVerdict(reply)
    return { verdicts: purchases.map(() => verdict), left: undefined }
  }
  const verdicts: PurchaseVerdict[] = []
  const headEnd = reply.indexOf('\n')
  if (headEnd === -1) {
    for (let i = 0; i < purchases.length; i++) {
      verdicts.push({ outcome: 'accepted', orderNumber: purchases[i]!.orderNumber })
    }
    return withHead(verdicts, reply)
  }
  let from = headEnd + 1
  for (let i = 0; i < purchases.length; i++) {
    let to = reply.indexOf('\n', from)
    if (to === -1) to = reply.length
    verdicts.push(verdictOf(reply, from, to, purchases[i]!))
    from = to + 1
  }
  return withHead(verdicts, reply.slice(0, headEnd))
}

function withHead(verdicts: PurchaseVerdict[], head: string): PurchaseBatchResult {
  const space = head.indexOf(' ')
  return { verdicts, left: Number(head.slice(0, space)), recoveries: Number(head.slice(space + 1)) }
}

function batchVerdict(reply: string): PurchaseVerdict {
  const verdict = batchVerdicts[reply]
  if (verdict) return verdict
  if (reply.startsWith('N')) return { outcome: 'not-started', startsAtMs: Number(reply.slice(1)) }
  throw new TypeError(
    reply === 'M' ? 'the purchases were malformed: check identifiers and quantities first' : `unknown reply ${reply}`,
  )
}

function verdictOf(reply: string, from: number, to: number, purchase: Purchase): PurchaseVerdict {
  switch (reply.charAt(from)) {
    case 'a':
      return { outcome: 'accepted', orderNumber: purchase.orderNumber }
    case 's':
      return soldOut
    case 'd':
      return { outcome: 'duplicate', orderNumber: reply.slice(from + 1, to) }
    case 'r':
      return replayedVerdict(reply.slice(from + 1, to))
    case 'l':
      return { outcome: 'over-limit', remaining: Number(reply.slice(from + 1, to)) }
    case 'i':
      return { outcome: 'insufficient', left: Number(reply.slice(from + 1, to)) }
    default:
      throw new TypeError(`unknown verdict ${reply.slice(from, to)}`)
  }
}

function replayedVerdict(text: string): PurchaseVerdict {
  const colon = text.indexOf(':')
  return { outcome: 'replayed', orderNumber: text.slice(0, colon), quantity: Number(text.slice(colon + 1)) }
}

/** One stream entry: its fields are `t` and `p` with their values. Undefined when it is not one of ours. */
export function parseOutboxEntry(id: string, fields: readonly string[]): OutboxEntry | undefined {
  let acceptedAtMs = 0
  let packed: string | undefined
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === 't') acceptedAtMs = Number(fields[i + 1])
    else if (fields[i] === 'p') packed = fields[i + 1]
  }
  if (packed === undefined) return undefined
  const purchases = packed.split('\n').map((line) => {
    const [userId = '', quantity = '', orderNumber = '', traceparent] = line.split(' ')
    const purchase = { userId, quantity: Number(quantity), orderNumber }
    return traceparent === undefined || traceparent === '.' ? purchase : { ...purchase, traceparent }
  })
  return { id, acceptedAtMs, purchases }
}
