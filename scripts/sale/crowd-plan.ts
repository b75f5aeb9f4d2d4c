/**
 * Who presses what: the crowd of a sale as a pure plan, so that a seed gives the same crowd again.
 */
import { seededRandom } from './random.ts'

/** Ways to press rubbish; each must be refused with its own clear answer and change nothing. */
export const rubbishKinds = [
  'no-token',
  'forged-pass',
  'pass-of-another-activity',
  'not-json',
  'quantity-zero',
  'quantity-text',
  'quantity-huge',
  'unknown-field',
  'body-too-large',
] as const
export type RubbishKind = (typeof rubbishKinds)[number]

export type Buyer = {
  userId: string
  /** Presses once before the start. */
  early: boolean
  /** Presses again as soon as the first answer is there. */
  twice: boolean
  /** Uses the access token instead of a pass. */
  withoutPass: boolean
  rubbish: RubbishKind | undefined
  /** Has no token made in advance: registers and signs in like a person. */
  signsIn: boolean
}

export type CrowdShares = { early: number; twice: number; withoutPass: number; rubbish: number }

export const usualShares: CrowdShares = { early: 0.03, twice: 0.1, withoutPass: 0.02, rubbish: 0.02 }

/** The first `signingIn` buyers sign in for real; they are never early, because that takes a while. */
export function planCrowd(count: number, seed: number, shares: CrowdShares = usualShares, signingIn = 0): Buyer[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, index) => ({
    userId: `buyer-${index + 1}`,
    signsIn: index < signingIn,
    early: random() < shares.early && index >= signingIn,
    twice: random() < shares.twice,
    withoutPass: random() < shares.withoutPass,
    rubbish: random() < shares.rubbish ? rubbishKinds[Math.floor(random() * rubbishKinds.length)] : undefined,
  }))
}
