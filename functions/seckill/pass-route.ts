/**
 * Gives a pass to a signed-in buyer: shortly before the rush, so that a press of "buy" needs no signature check of a token. What
 * protects a sale happens here, where there is time: the challenge, and the limits of buyers, devices and addresses.
 */
import { z } from 'zod'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Passes } from '@stampede/shared/identity/pass.ts'
import type { PassAdmission, PassApplicant, PassLimits } from '@stampede/shared/sale/pass-limits.ts'
import { maximumAnswerLength, type Applicant, type Challenge, type Judgement } from './challenge.ts'
import type { Sale, SaleCache } from './sale-cache.ts'
import { maximumOpensSecondsBefore, type SeckillSettings } from './settings.ts'

const identifier = /^[A-Za-z0-9_-]{1,64}$/

const times = {
  startsAt: z.iso.datetime(),
  /** Redis' clock, for the countdown. */
  now: z.iso.datetime(),
}
export const passInput = z.strictObject({ challengeAnswer: z.string().max(maximumAnswerLength).optional() }).optional()
export const passReply = z.object({ pass: z.string(), expiresAt: z.iso.datetime(), ...times })
/** The members beside `policy` depend on it. */
export const challengeReply = z.object({
  policy: z.enum(['none', 'proof-of-work', 'captcha']),
  challenge: z.string().optional(),
  algorithm: z.literal('SHA-256').optional(),
  difficultyBits: z.int().optional(),
  provider: z.string().optional(),
  siteKey: z.string().optional(),
  expiresAt: z.iso.datetime().optional(),
  ...times,
})

export type PassEffects = {
  passes: Passes
  sales: Pick<SaleCache, 'load'>
  settings: () => Pick<SeckillSettings, 'passes' | 'challenge'>
  challenge: Challenge
  /** Counts the pass, or says which limit is reached. */
  admit: (applicant: PassApplicant, limits: PassLimits, rememberMs: number) => Promise<PassAdmission>
  counted: (outcome: PassOutcome) => void
  now: () => number
}

/** What became of a request for a pass, for the metrics. */
export const passOutcomes = [
  'issued',
  'missing',
  'malformed',
  'not-yours',
  'expired',
  'outdated',
  'wrong',
  'unavailable',
  'limit-user',
  'limit-device',
  'limit-address',
  'limit-users-of-device',
] as const
export type PassOutcome = (typeof passOutcomes)[number]

export type PassRequest = {
  principal: Principal
  activityId: string
  device: string | undefined
  address: string
  challengeAnswer?: string | undefined
}

export async function issuePass(request: PassRequest, effects: PassEffects): Promise<z.output<typeof passReply>> {
  const { passes: settings } = effects.settings()
  const { applicant, sale, nowMs, redisNowMs } = await apply(request, effects)
  const judgement = await effects.challenge.judge(applicant, request.challengeAnswer)
  if (judgement !== 'met') {
    effects.counted(judgement)
    throw challengeProblem(judgement, applicant, effects.challenge)
  }
  const endsAtMs = sale.endsAtMs - sale.clockOffsetMs
  const admission = await admitted(applicant, effects, endsAtMs - nowMs)
  if (!admission.admitted) {
    effects.counted(`limit-${admission.limit}`)
    throw new Problem('rate-limited', limitDetails[admission.limit], {
      retryAfterSeconds: Math.max(1, Math.ceil(admission.retryAfterMs / 1_000)),
      extensions: { limit: admission.limit },
    })
  }
  const beginsMs = Math.max(nowMs, sale.startsAtMs - sale.clockOffsetMs)
  const expiresAtMs = Math.floor(Math.min(endsAtMs, beginsMs + settings.ttlSeconds * 1_000))
  const { tenantId, userId, activityId, device } = applicant
  const { sessionId, issuedAtMs } = request.principal
  const pass = effects.passes.issue({ tenantId, userId, activityId, device, sessionId, issuedAtMs, expiresAtMs })
  effects.counted('issued')
  return { pass, expiresAt: new Date(expiresAtMs).toISOString(), ...timesOf(sale, redisNowMs) }
}

export async function offerChallenge(
  request: PassRequest,
  effects: PassEffects,
): Promise<z.output<typeof challengeReply>> {
  const { applicant, sale, redisNowMs } = await apply(request, effects)
  return { ...effects.challenge.offer(applicant), ...timesOf(sale, redisNowMs) }
}

const timesOf = (sale: Sale, redisNowMs: number) => ({
  startsAt: new Date(sale.startsAtMs).toISOString(),
  now: new Date(redisNowMs).toISOString(),
})

/** Who asks for which sale, when it is time. */
async function apply({ principal, activityId, device = '', address }: PassRequest, effects: PassEffects) {
  const { passes: settings, challenge } = effects.settings()
  const { tenantId, userId } = principal
  if (device === '' ? settings.deviceRequired : !identifier.test(device)) {
    throw new Problem('invalid-request', 'The header stampede-device has 1 to 64 letters, digits, - or _.', {
      errors: [{ pointer: '/stampede-device', detail: '1 to 64 letters, digits, - or _' }],
    })
  }
  const sale = identifier.test(activityId) ? await loadSale(effects.sales, tenantId, activityId) : null
  if (!sale) throw new Problem('not-found', 'There is no sale of this activity.')
  const nowMs = effects.now()
  const redisNowMs = nowMs + sale.clockOffsetMs
  if (sale.state === 'closed' || redisNowMs >= sale.endsAtMs) throw new Problem('ended', 'The sale is over.')
  // Who has the challenge for days has it solved by others. Without one, a pass still must live until the sale and through it.
  const opensSeconds = challenge.policy === 'none' ? maximumOpensSecondsBefore : challenge.opensSecondsBefore
  const opensAtMs = sale.startsAtMs - opensSeconds * 1_000
  if (redisNowMs < opensAtMs) {
    throw new Problem('not-started', `Passes are given out from ${new Date(opensAtMs).toISOString()} on.`, {
      retryAfterSeconds: Math.ceil((opensAtMs - redisNowMs) / 1_000),
      extensions: { opensAt: new Date(opensAtMs).toISOString(), startsAt: new Date(sale.startsAtMs).toISOString() },
    })
  }
  const applicant: Applicant = { tenantId, userId, activityId, device, address }
  return { applicant, sale, nowMs, redisNowMs }
}

async function admitted(applicant: Applicant, effects: PassEffects, rememberMs: number): Promise<PassAdmission> {
  const { passes: limits } = effects.settings()
  try {
    return await effects.admit(
      applicant,
      {
        windowMs: limits.windowSeconds * 1_000,
        byUser: limits.byUser,
        byDevice: limits.byDevice,
        byAddress: limits.byAddress,
        usersByDevice: limits.usersByDevice,
      },
      Math.min(rememberMs, longestMemoryMs),
    )
  } catch (cause) {
    throw new Problem('dependency-unavailable', 'Passes cannot be counted at the moment.', {
      cause,
      retryAfterSeconds: 1,
    })
  }
}

/** A sale that goes on for weeks does not keep the people of a device for as long. */
const longestMemoryMs = 7 * 86_400_000

const limitDetails = {
  user: 'You have asked for too many passes.',
  device: 'Too many passes were given to this device.',
  address: 'Too many passes were given to this address.',
  'users-of-device': 'Too many people take part with this device.',
} as const

const judgementDetails: Record<Exclude<Judgement, 'met' | 'unavailable'>, string> = {
  missing: 'Solve the challenge and send `challengeAnswer`.',
  malformed: 'The answer belongs to no challenge of ours.',
  'not-yours': 'The challenge was given to somebody else, or for another activity or device.',
  expired: 'The challenge has expired.',
  outdated: 'Another kind of challenge is asked for now.',
  wrong: 'The answer does not solve the challenge.',
}

function challengeProblem(judgement: Exclude<Judgement, 'met'>, applicant: Applicant, challenge: Challenge): Problem {
  if (judgement === 'unavailable') {
    return new Problem('dependency-unavailable', 'The challenge cannot be checked at the moment.', {
      retryAfterSeconds: 2,
    })
  }
  // With a new one, so that a buyer loses one round trip and not two.
  return new Problem('forbidden', judgementDetails[judgement], {
    extensions: { reason: `challenge-${judgement}`, challenge: challenge.offer(applicant) },
  })
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
