/** Nobody can do anything before the access directory is there: who owns a part of it writes it when its process starts. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostServices } from '../function/declaration.ts'

const firstPauseMs = 500
const longestPauseMs = 30_000

/** Tries until it worked or the function drains, with longer and longer pauses. Never rejects. */
export async function writeAtStart(
  write: () => Promise<unknown>,
  { log, draining }: Pick<HostServices, 'log' | 'draining'>,
): Promise<void> {
  for (let pauseMs = firstPauseMs; !draining.aborted; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    try {
      await write()
      return
    } catch (error) {
      log.warn({ err: error }, 'the access directory could not be written at start; it is tried again')
      await sleep(pauseMs, undefined, { signal: draining }).catch(() => {})
    }
  }
}
