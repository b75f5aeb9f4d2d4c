/**
 * What may change while the function runs: the document `seckill`. Everything has a default, most of them from the environment, so
 * that an empty document, or none, changes nothing.
 */
import { z } from 'zod'
import { configurationFolder } from '@stampede/shared/configuration/document-file.ts'
import { trustedProxies } from '@stampede/shared/http/client-address.ts'
import { maximumPassMs } from '@stampede/shared/identity/pass.ts'
import { maximumDifficultyBits } from '@stampede/shared/sale/proof-of-work.ts'

const whole = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum)
const number = (fallback: number, minimum: number, maximum: number) =>
  z.coerce.number().int().min(minimum).max(maximum).default(fallback)

/** Half of a pass's longest life before the start of its sale, half of it after that. */
export const maximumOpensSecondsBefore = maximumPassMs / 2_000
const maximumTtlSeconds = maximumPassMs / 2_000

/** In milliseconds' worth of tries on a phone of the cheap kind: 16 bits are about half a second. */
const maximumBits = Math.min(24, maximumDifficultyBits)

export const challengePolicies = ['none', 'proof-of-work', 'captcha'] as const
export type ChallengePolicy = (typeof challengePolicies)[number]

/** The environment's part: what an installation is, secrets, and the defaults that installations usually change. */
export const settingsEnvironment = {
  ...configurationFolder,
  CHALLENGE: z.enum(challengePolicies).default('proof-of-work'),
  CHALLENGE_DIFFICULTY_BITS: number(16, 0, maximumBits),
  /** Whether a purchase needs a pass: `with-challenge` asks for one whenever there is a challenge that a token would go around. */
  REQUIRE_PASS: z.enum(['with-challenge', 'always', 'never']).default('with-challenge'),
  /** For the provider of the policy `captcha`. Never in a document. Empty is none: a Secret has the key whether it is used or not. */
  CAPTCHA_SECRET: z
    .string()
    .trim()
    .optional()
    .transform((secret) => secret || undefined),
  /** Whose `x-forwarded-for` is believed. Without it the address is the connection's. */
  TRUSTED_PROXIES: trustedProxies,
  /** How long a pass is valid after the sale began (or after it was issued, when that is later). */
  PASS_TTL_SECONDS: number(600, 1, maximumTtlSeconds),
  /** Purchases in one script call. 256 made the tail worse. */
  DECISION_BATCH: number(64, 1, 256),
  /** Script calls under way for one bucket. */
  DECISION_CALLS_IN_FLIGHT: number(16, 1, 64),
  /** Purchases that wait for a decision in this process; beyond it: 503 at once. */
  DECISION_QUEUE: number(10_000, 1, 1_000_000),
  /** Purchases a second of one activity in this process, and how many may come at once. */
  ACTIVITY_RATE: number(200_000, 1, 10_000_000),
  ACTIVITY_BURST: number(400_000, 1, 10_000_000),
  RELAY_BATCH: number(1_000, 1, 10_000),
  /** How long the relay lets purchases gather before it reads. */
  RELAY_LINGER_MS: number(20, 0, 1_000),
  /** Up to so long while few come: a batch of three costs as much behind the relay as one of fifty. */
  RELAY_LINGER_MAX_MS: number(200, 0, 1_000),
}

const environmentSchema = z.object(settingsEnvironment)
export type SettingsEnvironment = z.output<typeof environmentSchema>

const captcha = z.strictObject({
  /** Of the provider, to check an answer: Turnstile, hCaptcha and reCAPTCHA have the same contract. */
  verifyUrl: z.url({ protocol: /^https?$/ }),
  /** Public; the page shows the widget with it. */
  siteKey: z.string().min(1).max(256),
  /** What the page loads: a name that it knows. */
  provider: z.string().regex(/^[a-z0-9-]{1,32}$/),
  /** Answers for pages of other hosts are refused. */
  hostname: z.string().min(1).max(253).optional(),
  timeoutMs: whole(100, 10_000).default(2_000),
  /** Calls to the provider at once; more are answered as if it were away. */
  callsInFlight: whole(1, 10_000).default(200),
  /** When the provider does not answer: nobody gets a pass, or everybody. */
  whenUnavailable: z.enum(['refuse', 'allow']).default('refuse'),
})
export type CaptchaSettings = z.output<typeof captcha>

/** The schema of the document; `environment` gives the defaults. */
export function seckillSettings(environment: SettingsEnvironment) {
  return z
    .strictObject({
      rates: z
        .strictObject({
          purchasesPerSecond: whole(1, 10_000_000).default(environment.ACTIVITY_RATE),
          burst: whole(1, 10_000_000).default(environment.ACTIVITY_BURST),
        })
        .prefault({}),
      decisions: z
        .strictObject({
          batch: whole(1, 256).default(environment.DECISION_BATCH),
          callsInFlight: whole(1, 64).default(environment.DECISION_CALLS_IN_FLIGHT),
          queue: whole(1, 1_000_000).default(environment.DECISION_QUEUE),
        })
        .prefault({}),
      relay: z
        .strictObject({
          batch: whole(1, 10_000).default(environment.RELAY_BATCH),
          lingerMs: whole(0, 1_000).default(environment.RELAY_LINGER_MS),
          lingerMaxMs: whole(0, 1_000).default(environment.RELAY_LINGER_MAX_MS),
        })
        .prefault({}),
      passes: z
        .strictObject({
          ttlSeconds: whole(1, maximumTtlSeconds).default(environment.PASS_TTL_SECONDS),
          required: z.enum(['with-challenge', 'always', 'never']).default(environment.REQUIRE_PASS),
          /** Whether a pass must be bound to a device, by the header stampede-device. */
          deviceRequired: z.boolean().default(false),
          /** Passes in a window; 0: not limited. A page that is loaded again asks again. */
          windowSeconds: whole(1, 86_400).default(600),
          byUser: whole(0, 1_000_000).default(20),
          byDevice: whole(0, 1_000_000).default(60),
          /** Not limited by default: a mobile network has thousands of customers behind one address. */
          byAddress: whole(0, 1_000_000).default(0),
          /** People who take part in an activity with the same device. */
          usersByDevice: whole(0, 1_000_000).default(5),
        })
        .prefault({}),
      challenge: z
        .strictObject({
          policy: z.enum(challengePolicies).default(environment.CHALLENGE),
          /** Challenges, and so passes, are given out so long before the start, and until the end. */
          opensSecondsBefore: whole(1, maximumOpensSecondsBefore).default(900),
          /** To solve it and ask for the pass. */
          ttlSeconds: whole(10, maximumChallengeSeconds).default(300),
          difficultyBits: whole(0, maximumBits).default(environment.CHALLENGE_DIFFICULTY_BITS),
          captcha: captcha.optional(),
        })
        .prefault({}),
    })
    .superRefine(({ challenge }, context) => {
      if (challenge.policy !== 'captcha') return
      if (challenge.captcha === undefined) {
        context.addIssue({ code: 'custom', path: ['challenge', 'captcha'], message: 'the policy captcha needs it' })
      }
      if (environment.CAPTCHA_SECRET === undefined) {
        const message = 'the policy captcha needs the environment variable CAPTCHA_SECRET'
        context.addIssue({ code: 'custom', path: ['challenge', 'policy'], message })
      }
    })
}

/** No challenge is valid for longer, whatever the clock of its issuer said. */
export const maximumChallengeSeconds = 3_600

export type SeckillSettings = z.output<ReturnType<typeof seckillSettings>>

/** Whether a press with an access token alone is refused. */
export const passRequired = ({ passes, challenge }: SeckillSettings): boolean =>
  passes.required === 'always' || (passes.required === 'with-challenge' && challenge.policy !== 'none')
