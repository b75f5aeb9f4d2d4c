/** What an activity sells and when: the input's shapes and the validations before it is scheduled. */
import { z } from 'zod'
import type { SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import type { InputError } from '@stampede/shared/http/problem.ts'
import type { Activity } from './store.ts'

export const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, _ and -, at most 64')
/** Any offset is taken; what is stored and answered is UTC with milliseconds. */
const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text).toISOString())
const printable = z
  .string()
  .trim()
  .min(1)
  .max(200)
  // oxlint-disable-next-line no-control-regex -- exactly these are refused
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'no control characters')
  .refine((text) => text.isWellFormed(), 'well-formed Unicode')

const fields = {
  name: printable,
  variantId: identifier,
  stock: z.int().min(1).max(100_000_000),
  perUserLimit: z.int().min(1).max(1_000),
  buckets: z.int().min(1).max(64),
  startsAt: instant,
  endsAt: instant,
  priceCents: z.int().min(0),
  currency: z.string().regex(/^[A-Z]{3}$/, 'three capital letters, ISO 4217'),
  paymentTimeoutSeconds: z.int().min(1).max(604_800),
}

export const newActivity = z.strictObject({
  ...fields,
  /** Chosen by the caller, or made here. */
  activityId: identifier.optional(),
  perUserLimit: fields.perUserLimit.default(1),
  buckets: fields.buckets.default(1),
  paymentTimeoutSeconds: fields.paymentTimeoutSeconds.default(900),
})
export type NewActivity = z.output<typeof newActivity>

export const activityChange = z
  .strictObject({ ...z.object(fields).partial().shape, version: z.int().min(1) })
  .refine((change) => Object.keys(change).length > 1, 'nothing to change')
export type ActivityChange = z.output<typeof activityChange>

const longestWindowMs = 31 * 86_400_000

/** Everything that stands against scheduling an activity now; empty when nothing does. */
export function scheduleErrors(activity: Activity, nowMs: number): InputError[] {
  const errors: InputError[] = []
  const startsAtMs = Date.parse(activity.startsAt)
  const endsAtMs = Date.parse(activity.endsAt)
  if (startsAtMs <= nowMs) errors.push({ pointer: '/startsAt', detail: 'must be in the future' })
  if (endsAtMs <= startsAtMs) errors.push({ pointer: '/endsAt', detail: 'must be after startsAt' })
  if (endsAtMs - startsAtMs > longestWindowMs)
    errors.push({ pointer: '/endsAt', detail: 'at most 31 days after startsAt' })
  if (activity.stock < 1) errors.push({ pointer: '/stock', detail: 'must be at least 1' })
  if (activity.perUserLimit > activity.stock)
    errors.push({ pointer: '/perUserLimit', detail: 'must not be more than stock' })
  if (activity.buckets > activity.stock) errors.push({ pointer: '/buckets', detail: 'must not be more than stock' })
  return errors
}

export const termsOf = (activity: Activity): SaleTerms => ({
  tenantId: activity.tenantId,
  activityId: activity.activityId,
  name: activity.name,
  variantId: activity.variantId,
  stock: activity.stock,
  perUserLimit: activity.perUserLimit,
  buckets: activity.buckets,
  startsAt: activity.startsAt,
  endsAt: activity.endsAt,
  priceCents: activity.priceCents,
  currency: activity.currency,
  paymentTimeoutSeconds: activity.paymentTimeoutSeconds,
})
