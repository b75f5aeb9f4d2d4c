/** Entry of the load generator's process: its event loop is its own, so that what is measured is not held up by the display. */
import { generateLoad } from './load-generator.ts'
import type { LoadCommand, LoadMessage } from './load-orders.ts'

const stop = new AbortController()

const end = (message: LoadMessage, exitCode: number) => {
  // The process ends after the message went out.
  process.send?.(message, () => {
    process.exitCode = exitCode
    process.disconnect()
  })
}

process.on('message', (message: LoadCommand) => {
  if (message.command === 'stop') {
    stop.abort()
    return
  }
  generateLoad(
    message.orders,
    (second) => process.send?.({ type: 'second', second } satisfies LoadMessage),
    stop.signal,
  ).then(
    (result) => end({ type: 'finished', result }, 0),
    (error: unknown) => end({ type: 'failed', reason: error instanceof Error ? error.message : String(error) }, 1),
  )
})
process.on('disconnect', () => process.exit())
