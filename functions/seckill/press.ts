/** One press of "buy", from its headers to its answer, and what it gives back when nothing was bought. */
import type { ServerResponse } from 'node:http'
import type { Span } from '@opentelemetry/api'
import type { BucketRef, Purchase } from '@stampede/shared/sale/types.ts'
import { startHotSpan } from '@stampede/shared/telemetry/tracing.ts'
import type { Buyer, Credentials } from './admission.ts'
import type { Answer, Outcome } from './answers.ts'
import type { PendingPurchase } from './decide-together.ts'
import type { Sale } from './sale-cache.ts'
import type { OrderLease } from './tenant-quota-lease.ts'

const nowhere: BucketRef = { tenantId: '', activityId: '', bucket: 0 }
const nothing: Purchase = { userId: '', quantity: 1, orderNumber: '' }

export class Press implements PendingPurchase {
  readonly response: ServerResponse
  readonly credentials: Credentials
  activityId: string
  buyer: Buyer | undefined = undefined
  /** Set when it is refused before a decision. */
  answer: Answer | undefined = undefined
  /** Only of a request that is traced. */
  readonly span: Span | undefined
  body = ''
  bodyBytes = 0
  quantity = 1
  idempotencyKey: string | undefined = undefined
  // What the decision needs; filled in when the press is admitted.
  sale: Sale | undefined = undefined
  ref: BucketRef = nowhere
  buckets = 1
  purchase: Purchase = nothing
  attempts = 0
  /** Where its unit of the tenant's quota is from; undefined: it has none. */
  unit: OrderLease | undefined = undefined

  constructor(response: ServerResponse, credentials: Credentials, activityId: string, route: string) {
    this.response = response
    this.credentials = credentials
    this.activityId = activityId
    this.span = startHotSpan('POST', route, credentials.traceparent)
  }
}

/** What was not bought is not counted. A press that may have been accepted is. */
export function returnUnit(press: { unit: OrderLease | undefined }, { outcome }: Outcome): void {
  if (press.unit === undefined || outcome === 'accepted' || outcome === 'undecided' || outcome === 'not-durable') return
  press.unit.giveBack()
  press.unit = undefined
}
