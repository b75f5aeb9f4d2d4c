/**
 * The frame of a command that starts things: what it starts is stopped in reverse order, at its end, after an error, and on Ctrl-C.
 */
import { onInterrupt } from './interrupt.ts'
import type { Say } from './terminal.ts'

export type CommandContext = {
  /** A line for people, with the time since the command began, on standard error. */
  say: Say
  /** Called when the command ends, the last one first. */
  defer: (undo: () => Promise<void>) => void
}

/** Runs `main` and sets the exit code that it returns; 1 when it throws, 130 when it was interrupted before its end. */
export async function runCommand(main: (context: CommandContext) => Promise<number>): Promise<void> {
  const beganMs = performance.now()
  const say: Say = (line) => {
    process.stderr.write(`[${((performance.now() - beganMs) / 1_000).toFixed(1).padStart(6)} s] ${line}\n`)
  }
  const deferred: (() => Promise<void>)[] = []
  let cleaning: Promise<void> | undefined
  const cleanUp = (): Promise<void> => {
    cleaning ??= (async () => {
      for (let undo = deferred.pop(); undo; undo = deferred.pop()) {
        await undo().catch((error: unknown) => say(`While stopping: ${messageOf(error)}`))
      }
    })()
    return cleaning
  }
  let interrupted = false
  const forget = onInterrupt(() => {
    interrupted = true
    say('Stopping …')
    void cleanUp().then(() => process.exit(130))
  })
  const defer = (undo: () => Promise<void>) => {
    // What was on its way up while the command was already stopping is stopped as well.
    if (interrupted) void undo().catch((error: unknown) => say(`While stopping: ${messageOf(error)}`))
    else deferred.push(undo)
  }
  try {
    process.exitCode = await main({ say, defer })
  } catch (error) {
    if (!interrupted) say(messageOf(error))
    process.exitCode = 1
  }
  await cleanUp()
  forget()
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
