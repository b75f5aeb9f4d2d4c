import type { z } from 'zod'

/**
 * An event type of the platform. `type` is reverse DNS, noun, past verb, major version; additive changes keep the version,
 * a breaking one publishes the next version beside it.
 */
export type EventDefinition<S extends z.ZodType> = {
  /** For example `io.stampede.order.created.v1`. */
  type: string
  /** For example `/functions/order`. */
  source: string
  /** Any function may publish it, each with its own `source`; the one above then only says whose event it is. */
  anySource?: true
  /** One sentence for people. */
  summary: string
  /** Schema of `data`. */
  data: S
  /** What `subject` holds, for people. */
  subject: string
  /** The `partitionkey` extension, where order matters. */
  partitionKey?: (data: z.output<S>) => string
}

export function defineEvent<S extends z.ZodType>(definition: EventDefinition<S>): EventDefinition<S> {
  if (!/^io\.stampede\.[a-z-]+\.[a-z-]+\.v[1-9]\d*$/.test(definition.type)) {
    throw new TypeError(`event type "${definition.type}" is not io.stampede.<noun>.<past verb>.v<major>`)
  }
  return definition
}
