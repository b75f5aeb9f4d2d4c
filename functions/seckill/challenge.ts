/**
 * What a buyer must meet before a pass is issued: nothing, a proof of work, or a captcha. Challenges are signed and not stored; an
 * answer is `<challenge>:<answer>`. It is bound to buyer, activity and device, so that an answer that is used again, or sold, gives
 * the same pass to the same buyer and nothing to anybody else.
 */
import { hasProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'
import type { Captcha } from './captcha.ts'
import type { ChallengeTokens } from './challenge-token.ts'
import { maximumChallengeSeconds, type SeckillSettings } from './settings.ts'

export type Applicant = {
  tenantId: string
  userId: string
  activityId: string
  /** Empty: none. */
  device: string
  /** Empty: unknown. */
  address: string
}

export type Offer =
  | { policy: 'none' }
  | { policy: 'proof-of-work'; challenge: string; algorithm: 'SHA-256'; difficultyBits: number; expiresAt: string }
  | { policy: 'captcha'; challenge: string; provider: string; siteKey: string; expiresAt: string }

export type Judgement =
  | 'met'
  /** There was no answer. */
  | 'missing'
  /** Not signed by us, or not an answer at all. */
  | 'malformed'
  /** Of another buyer, activity or device. */
  | 'not-yours'
  | 'expired'
  /** The policy has changed since. */
  | 'outdated'
  | 'wrong'
  /** The provider does not say. */
  | 'unavailable'

export type Challenge = {
  /** What the buyer must solve now. No I/O. */
  offer: (buyer: Applicant) => Offer
  judge: (buyer: Applicant, answer: string | undefined) => Promise<Judgement>
}

export type ChallengeEffects = {
  settings: () => SeckillSettings['challenge']
  tokens: ChallengeTokens
  /** Undefined without CAPTCHA_SECRET; then no settings have the policy. */
  captcha: Captcha | undefined
  now: () => number
}

/** Of an answer: a challenge, and what a captcha provider gives. */
export const maximumAnswerLength = 8_192

export function createChallenge({ settings, tokens, captcha, now }: ChallengeEffects): Challenge {
  return {
    offer({ tenantId, userId, activityId, device }) {
      const { policy, ttlSeconds, difficultyBits, captcha: widget } = settings()
      if (policy === 'none') return { policy }
      const expiresAtMs = now() + ttlSeconds * 1_000
      const bits = policy === 'proof-of-work' ? difficultyBits : 0
      const challenge = tokens.issue({
        tenantId,
        userId,
        activityId,
        device,
        policy,
        difficultyBits: bits,
        expiresAtMs,
      })
      const expiresAt = new Date(expiresAtMs).toISOString()
      return policy === 'proof-of-work'
        ? { policy, challenge, algorithm: 'SHA-256', difficultyBits, expiresAt }
        : { policy, challenge, provider: widget!.provider, siteKey: widget!.siteKey, expiresAt }
    },

    async judge(buyer, answer) {
      const { policy, captcha: widget } = settings()
      if (policy === 'none') return 'met'
      if (answer === undefined) return 'missing'
      const colon = answer.indexOf(':')
      const challenge = answer.slice(0, colon)
      const solution = answer.slice(colon + 1)
      const claims = colon < 0 ? undefined : tokens.read(challenge)
      if (!claims) return 'malformed'
      if (
        claims.tenantId !== buyer.tenantId ||
        claims.userId !== buyer.userId ||
        claims.activityId !== buyer.activityId ||
        claims.device !== buyer.device
      ) {
        return 'not-yours'
      }
      // One that is valid for very long was signed by a clock that was wrong then.
      const remainingMs = claims.expiresAtMs - now()
      if (remainingMs <= 0 || remainingMs > maximumChallengeSeconds * 1_000) return 'expired'
      if (claims.policy !== policy) return 'outdated'
      // As difficult as it was offered: who has begun to work finishes it.
      if (policy === 'proof-of-work')
        return hasProofOfWork(challenge, solution, claims.difficultyBits) ? 'met' : 'wrong'
      const verdict = await captcha!(solution, buyer.address, widget!)
      return verdict === 'unavailable' && widget!.whenUnavailable === 'allow' ? 'met' : verdict
    },
  }
}
