/**
 * Entry of the crowd's process. The parent sends `prepare`, then `rush`; each is answered when it is done.
 */
import { Crowd, type CrowdMessage, type CrowdOrders } from './crowd.ts'

export type CrowdCommand = { command: 'prepare'; orders: CrowdOrders } | { command: 'rush' }

const say = (message: CrowdMessage) => void process.send?.(message)
let crowd: Crowd | undefined

async function obey(message: CrowdCommand): Promise<void> {
  if (message.command === 'prepare') {
    crowd = new Crowd(message.orders, say)
    await crowd.prepare()
    return
  }
  if (crowd === undefined) throw new Error('the crowd was not prepared')
  const result = await crowd.rush()
  await crowd.close()
  // The channel closes only after the last message went out: then the process ends by itself.
  process.send?.({ type: 'finished', result } satisfies CrowdMessage, () => process.disconnect())
}

process.on('message', (message: CrowdCommand) => {
  obey(message).catch((error: unknown) => {
    process.send?.(
      { type: 'failed', reason: error instanceof Error ? error.message : String(error) } satisfies CrowdMessage,
      () => process.exit(1),
    )
  })
})
process.on('disconnect', () => process.exit(0))
