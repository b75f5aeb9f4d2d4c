/**
 * Coupon statistics of a person: sums of events. Sums do not mind in which order the events come; `once` keeps repeats out. What
 * follows from them (`available`, `used`) is right as soon as all events are there.
 */
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'

const addRow = tenantStatement(
  'user.addCoupons',
  `INSERT INTO user_coupon_statistics (tenant_id, user_id, issued, redeemed, returned, expired, redeemed_cents, returned_cents, last_at)
   VALUES (:tenantId, :userId, :issued, :redeemed, :returned, :expired, :redeemedCents, :returnedCents, :at)
   ON DUPLICATE KEY UPDATE issued = issued + VALUES(issued), redeemed = redeemed + VALUES(redeemed),
     returned = returned + VALUES(returned), expired = expired + VALUES(expired),
     redeemed_cents = redeemed_cents + VALUES(redeemed_cents), returned_cents = returned_cents + VALUES(returned_cents),
     last_at = GREATEST(last_at, VALUES(last_at))`,
)
const selectRow = tenantStatement(
  'user.selectCoupons',
  'SELECT * FROM user_coupon_statistics WHERE tenant_id = :tenantId AND user_id = :userId',
)
const deleteRow = tenantStatement(
  'user.deleteCoupons',
  'DELETE FROM user_coupon_statistics WHERE tenant_id = :tenantId AND user_id = :userId',
)

export const couponFacts = ['issued', 'redeemed', 'returned', 'expired'] as const
export type CouponFact = (typeof couponFacts)[number]

export type CouponStatistics = Record<CouponFact, number> & {
  /** Issued, and neither used nor expired. */
  available: number
  /** Redeemed and not returned. */
  used: number
  /** What used coupons took off. */
  savedCents: number
  lastAt: string | null
}

export async function addCoupon(
  tenant: TenantDatabase,
  fact: CouponFact,
  data: { userId: string; amountCents: number; at: string },
): Promise<void> {
  const one = (name: CouponFact) => (name === fact ? 1 : 0)
  await tenant.change(addRow, {
    userId: data.userId,
    issued: one('issued'),
    redeemed: one('redeemed'),
    returned: one('returned'),
    expired: one('expired'),
    redeemedCents: one('redeemed') * data.amountCents,
    returnedCents: one('returned') * data.amountCents,
    at: new Date(data.at),
  })
}

export async function readCoupons(tenant: TenantDatabase, userId: string): Promise<CouponStatistics> {
  const row = await tenant.row(selectRow, { userId })
  const number = (name: string) => Number(row?.[name] ?? 0)
  const counts = {
    issued: number('issued'),
    redeemed: number('redeemed'),
    returned: number('returned'),
    expired: number('expired'),
  }
  // Below nothing only while an earlier event is still on its way.
  const used = Math.max(0, counts.redeemed - counts.returned)
  return {
    ...counts,
    available: Math.max(0, counts.issued - counts.redeemed + counts.returned - counts.expired),
    used,
    savedCents: Math.max(0, number('redeemed_cents') - number('returned_cents')),
    lastAt: row ? (row['last_at'] as Date).toISOString() : null,
  }
}

export async function deleteCoupons(tenant: TenantDatabase, userId: string): Promise<void> {
  await tenant.change(deleteRow, { userId })
}
