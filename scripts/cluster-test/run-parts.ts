/** Runs the parts one after the other and counts what held. */
import { formatDuration } from '../lib/terminal.ts'
import type { Part, PartContext } from './part.ts'

export type Totals = { passed: number; failed: number }

/**
 * @param print one line for each result
 * @param deferAll what must be undone even if the command is interrupted
 */
export async function runParts(
  parts: readonly Part[],
  context: Omit<PartContext, 'check' | 'defer'>,
  print: (line: string) => void,
  deferAll: (undo: () => Promise<void>) => void,
): Promise<Totals> {
  const totals: Totals = { passed: 0, failed: 0 }
  for (const part of parts) {
    if (context.signal.aborted) break
    context.say(`${part.name}: ${part.title} …`)
    const beganMs = performance.now()
    let checks = 0
    const check: PartContext['check'] = (what, held, detail) => {
      checks += 1
      totals[held ? 'passed' : 'failed'] += 1
      print(`${held ? '✔' : '✘'} ${part.name} – ${what}${detail === undefined || detail === '' ? '' : `: ${detail}`}`)
    }
    const undos: (() => Promise<unknown>)[] = []
    const undoAll = async () => {
      for (let undo = undos.pop(); undo; undo = undos.pop())
        await undo().catch((error: unknown) => context.say(`While cleaning up: ${messageOf(error)}`))
    }
    deferAll(undoAll)
    try {
      await part.run({ ...context, check, defer: (undo) => void undos.push(undo) })
      // A part that looked at nothing has shown nothing.
      if (checks === 0) check('nothing was looked at', false)
    } catch (error) {
      if (!context.signal.aborted) check('it could go on', false, messageOf(error))
    }
    await undoAll()
    context.say(`${part.name}: ${formatDuration(performance.now() - beganMs)}`)
  }
  return totals
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
