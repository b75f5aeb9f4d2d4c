/** What became of a person's coupons. */
import { z } from 'zod'
import { defineEvent } from './definition.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)

/** `amountCents`: what the coupon is worth in this fact; for a redemption, what was taken off. */
const couponFact = z.object({
  tenantId: identifier,
  userId: identifier,
  couponId: identifier,
  amountCents: z.int().nonnegative(),
  at: z.iso.datetime({ precision: 3 }),
})

const couponEvent = (verb: string, summary: string) =>
  defineEvent({
    type: `io.stampede.coupon.${verb}.v1`,
    source: '/functions/coupon',
    summary,
    subject: 'coupon id',
    data: couponFact,
    partitionKey: ({ tenantId, userId }) => `${tenantId}:${userId}`,
  })

export const couponIssued = couponEvent('issued', 'A person got a coupon.')
export const couponRedeemed = couponEvent('redeemed', 'A coupon was used for an order.')
export const couponReturned = couponEvent('returned', 'A redeemed coupon came back, because its order was cancelled.')
export const couponExpired = couponEvent('expired', 'A coupon was not used in time.')

export const couponEvents = [couponIssued, couponRedeemed, couponReturned, couponExpired] as const
