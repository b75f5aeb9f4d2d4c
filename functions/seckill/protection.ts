/** Puts together what stands between a buyer and a pass: challenge, limits, and what is counted of them. */
import type { Cluster, Redis } from 'ioredis'
import { Counter, type Registry } from 'prom-client'
import { addressGroup, clientAddress, parseAddress, type AddressRange } from '@stampede/shared/http/client-address.ts'
import type { PassKey, Passes } from '@stampede/shared/identity/pass.ts'
import { admitApplicant } from '@stampede/shared/sale/pass-limits.ts'
import { createCaptcha } from './captcha.ts'
import { createChallengeTokens } from './challenge-token.ts'
import { createChallenge } from './challenge.ts'
import { passOutcomes, type PassEffects } from './pass-route.ts'
import type { SaleCache } from './sale-cache.ts'
import type { SeckillSettings } from './settings.ts'

export type Protection = {
  effects: PassEffects
  /** The caller's address behind its proxies; empty: unknown. */
  addressOf: (peer: string, forwardedFor: string | undefined) => string
}

export type ProtectionParts = {
  /** Not the connection of the rush. */
  redis: Redis | Cluster
  passes: Passes
  passKeys: readonly PassKey[]
  sales: SaleCache
  settings: () => SeckillSettings
  captchaSecret: string | undefined
  trustedProxies: readonly AddressRange[]
  metrics: Registry
  warn: (message: string) => (reason: unknown) => void
}

export function createProtection(parts: ProtectionParts): Protection {
  const { redis, passes, sales, settings, captchaSecret } = parts
  const counter = new Counter({
    name: 'stampede_seckill_passes_total',
    help: 'Requests for a pass by what became of them.',
    labelNames: ['outcome'],
    registers: [parts.metrics],
  })
  for (const outcome of passOutcomes) counter.inc({ outcome }, 0)
  const now = Date.now
  return {
    addressOf: (peer, forwardedFor) => clientAddress(peer, forwardedFor, parts.trustedProxies)?.toString() ?? '',
    effects: {
      passes,
      sales,
      settings,
      challenge: createChallenge({
        settings: () => settings().challenge,
        tokens: createChallengeTokens(parts.passKeys),
        captcha:
          captchaSecret === undefined
            ? undefined
            : createCaptcha({
                fetch,
                secret: captchaSecret,
                failed: parts.warn('the captcha provider does not answer'),
              }),
        now,
      }),
      admit: (applicant, limits, rememberMs) =>
        admitApplicant(redis, { ...applicant, address: groupOf(applicant.address) }, limits, rememberMs),
      counted: (outcome) => counter.inc({ outcome }),
      now,
    },
  }
}

/** Limits count a customer's addresses as one; the captcha's provider wants the one. */
function groupOf(text: string): string {
  const address = parseAddress(text)
  return address ? addressGroup(address) : ''
}
