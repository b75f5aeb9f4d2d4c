/** Gives a pass to a signed-in buyer: before the rush, so that a press of "buy" needs no signature check of a token. */
import { z } from 'zod'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Passes } from '@stampede/shared/identity/pass.ts'
import type { Challenge } from './challenge.ts'
import type { SaleCache } from './sale-cache.ts'

const identifier = /^[A-Za-z0-9_-]{1,64}$/

export const passInput = z.strictObject({ challengeAnswer: z.string().max(256).optional() }).optional()
export const passReply = z.object({
  pass: z.string(),
  expiresAt: z.iso.datetime(),
  startsAt: z.iso.datetime(),
  /** Redis' clock, for the countdown. */
  now: z.iso.datetime(),
})

export type PassEffects = {
  passes: Passes
  sales: Pick<SaleCache, 'load'>
  challenge: Challenge
  ttlSeconds: number
  now: () => number
}

export async function issuePass(
  request: {
    principal: Principal
    activityId: string
    device: string | undefined
    challengeAnswer: string | undefined
  },
  effects: PassEffects,
): Promise<z.output<typeof passReply>> {
  const { principal, activityId, device = '' } = request
  const { tenantId, userId } = principal
  if (device !== '' && !identifier.test(device)) {
    throw new Problem('invalid-request', 'The header stampede-device has 1 to 64 letters, digits, - or _.', {
      errors: [{ pointer: '/stampede-device', detail: '1 to 64 letters, digits, - or _' }],
    })
  }
  const sale = identifier.test(activityId) ? await loadSale(effects.sales, tenantId, activityId) : null
  if (!sale) throw new Problem('not-found', 'There is no sale of this activity.')
  const nowMs = effects.now()
  const redisNowMs = nowMs + sale.clockOffsetMs
  if (sale.state === 'closed' || redisNowMs >= sale.endsAtMs) throw new Problem('ended', 'The sale is over.')
  const buyer = { tenantId, userId, activityId }
  if (!(await effects.challenge.met(buyer, request.challengeAnswer))) {
    throw new Problem('forbidden', 'The challenge is not met.', {
      extensions: { challenge: await effects.challenge.offer(buyer) },
    })
  }
  const beginsMs = Math.max(nowMs, sale.startsAtMs - sale.clockOffsetMs)
  const expiresAtMs = Math.ceil(Math.min(sale.endsAtMs - sale.clockOffsetMs, beginsMs + effects.ttlSeconds * 1_000))
  return {
    pass: effects.passes.issue({ ...buyer, device, expiresAtMs }),
    expiresAt: new Date(expiresAtMs).toISOString(),
    startsAt: new Date(sale.startsAtMs).toISOString(),
    now: new Date(redisNowMs).toISOString(),
  }
}

async function loadSale(sales: Pick<SaleCache, 'load'>, tenantId: string, activityId: string) {
  try {
    return await sales.load(tenantId, activityId)
  } catch (cause) {
    throw new Problem('dependency-unavailable', 'The sale cannot be read at the moment.', {
      cause,
      retryAfterSeconds: 1,
    })
  }
}
