/** What a buyer's page does with the challenge before a pass: it solves it and asks again. */
import { z } from 'zod'
import { solveProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'

const refusal = z.object({
  challenge: z.object({
    policy: z.literal('proof-of-work'),
    challenge: z.string(),
    difficultyBits: z.number(),
  }),
})

/** The body that answers the challenge a refusal brought along; undefined: it is none that a program can solve. */
export function answeredPassBody(problem: unknown): string | undefined {
  const parsed = refusal.safeParse(problem)
  if (!parsed.success) return undefined
  const { challenge, difficultyBits } = parsed.data.challenge
  return JSON.stringify({ challengeAnswer: `${challenge}:${solveProofOfWork(challenge, difficultyBits)}` })
}
