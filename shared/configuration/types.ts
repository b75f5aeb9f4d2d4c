/** What a reader of a configuration document sees; `open-configuration.ts` makes it. */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { z } from 'zod'

/** One finding about a document: a JSON pointer (RFC 6901) into it, empty for the whole, and what is wrong there. */
export type DocumentProblem = { pointer: string; detail: string }

/** Called after the new value has become the current one. Throwing brings the old value back. */
export type ChangeListener<T> = (next: T, previous: T) => void

/** A listener in two phases. */
export type ChangeSteps<T> = {
  /**
   * Makes ready and may refuse by throwing, while the old value is still the current one. Nothing may be changed here that
   * others see: another listener may still refuse. Limited in time.
   */
  prepare?(next: T, previous: T): void | Promise<void>
  /**
   * Takes the new value over, at once and synchronously: no request ever sees half of a change. When it throws, it and all that
   * were called before it are called again, in reverse order, with the old value as the next one.
   */
  apply(next: T, previous: T): void
}

export type Configuration<T> = {
  /** The value that applies; frozen. Costs nothing. */
  current(): T
  /** The document's own version, or `built-in` for `initial`. */
  version(): string
  /** Returns what ends the listening. Not called for the value that applies already. */
  onChange(listener: ChangeListener<T> | ChangeSteps<T>): () => void
  /** Reads the file now and decides about it when it has changed; `again`: also when this very content was refused. */
  reload(options?: { again?: boolean }): Promise<void>
  /** Ends watching; `current` stays. */
  close(): void
}

export type ConfigurationOptions<T> = {
  /** In metrics and logs. */
  name: string
  /**
   * Of the document without its member `version`. Objects are strict at the top whatever the schema says; use strict ones below,
   * so that a misspelled name is a problem and not a default.
   */
  schema: z.ZodType<T>
  /** YAML or JSON; undefined: there is no document, and `initial` applies for good. */
  file: string | undefined
  /** Applies while there is no file, and at a start with a document that is not valid. Without it such a start throws. */
  initial?: T
  log: Pick<Logger, 'info' | 'error'>
  metrics: Registry
  /** How often the file is read in case no change was announced; default 1,000. */
  pollMs?: number
  /** How long a changed file must stay the same before it is believed; default 50. */
  settleMs?: number
  /** For one listener's `prepare`; default 10,000. */
  prepareTimeoutMs?: number
  /** Default true; false leaves it to polling. */
  watch?: boolean
}

/** A document that does not apply. Its message lists every problem. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError'
  readonly problems: readonly DocumentProblem[]
  constructor(subject: string, problems: readonly DocumentProblem[]) {
    super(`${subject} is not valid:\n${problems.map((problem) => `  - ${describeProblem(problem)}`).join('\n')}`)
    this.problems = problems
  }
}

export const describeProblem = ({ pointer, detail }: DocumentProblem): string =>
  pointer === '' ? detail : `${pointer}: ${detail}`
