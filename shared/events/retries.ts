/** How often what failed is tried again: the document `retries`, the same for all functions of a process. */
import { z } from 'zod'

const milliseconds = (fallback: number, minimum: number, maximum: number) =>
  z.int().min(minimum).max(maximum).default(fallback)

export const retriesSchema = z.strictObject({
  /** Events that the broker did not take. Pauses double from the first to the longest; only events of the same key wait. */
  outbox: z
    .strictObject({
      firstPauseMs: milliseconds(100, 1, 60_000),
      longestPauseMs: milliseconds(5_000, 1, 3_600_000),
      /** More failing keys than this are a broken broker: then everything waits. */
      failingKeys: z.int().min(1).max(100_000).default(100),
    })
    .refine(({ firstPauseMs, longestPauseMs }) => firstPauseMs <= longestPauseMs, {
      path: ['longestPauseMs'],
      message: 'is shorter than firstPauseMs',
    })
    .prefault({}),
})

export type Retries = z.output<typeof retriesSchema>

export const usualRetries: Retries = retriesSchema.parse({})
