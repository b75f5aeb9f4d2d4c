/** Work of which only a little may happen at once: a crowd waits in a queue of limited length, and beyond it is refused. */
import { Problem } from '@stampede/shared/http/problem.ts'

export type WorkQueue = {
  /** Throws Problem `overloaded` when the queue is full, and the signal's reason when it was aborted before the work began. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>
  readonly waiting: number
}

export function createWorkQueue(options: { concurrency: number; queueLimit: number }): WorkQueue {
  const waiting: (() => void)[] = []
  let running = 0
  /** The place goes to who waits longest; it never becomes free in between. */
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
  return {
    get waiting() {
      return waiting.length
    },
    async run(work, signal) {
      if (running >= options.concurrency) {
        if (waiting.length >= options.queueLimit)
          throw new Problem('overloaded', 'Too many people sign in at the moment.', { retryAfterSeconds: 1 })
        await new Promise<void>((resolve) => waiting.push(resolve))
      } else running += 1
      try {
        // Whoever asked has gone: the next one's turn.
        signal?.throwIfAborted()
        return await work()
      } finally {
        leave()
      }
    },
  }
}
