/**
 * The place for a challenge that a buyer must meet before a pass is issued (proof of work, captcha). The policy is
 * configured; `none` is the only one so far.
 */
export interface Challenge {
  /** What the buyer must solve, to be shown before a pass is asked for; undefined: nothing. */
  offer(buyer: { tenantId: string; userId: string; activityId: string }): Promise<Record<string, unknown> | undefined>
  /** Whether `answer` solves what was offered. */
  met(buyer: { tenantId: string; userId: string; activityId: string }, answer: string | undefined): Promise<boolean>
}

const none: Challenge = {
  offer: async () => undefined,
  met: async () => true,
}

export const challenges = { none } as const
