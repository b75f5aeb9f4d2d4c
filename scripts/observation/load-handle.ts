/** The parent's end of the load generator's process. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { endsWithThisProcess } from '@stampede/shared/testing/child-life.ts'
import type { LoadCommand, LoadMessage, LoadOrders, LoadResult } from './load-orders.ts'
import type { LoadSecond } from './samples.ts'

export type LoadHandle = {
  /** Resolves when every request is answered or given up. */
  finished: Promise<LoadResult>
  /** No further requests; `finished` still resolves. */
  stop(): void
  kill(): void
}

export type StartLoad = (orders: LoadOrders, onSecond: (second: LoadSecond) => void) => LoadHandle

export const startLoad: StartLoad = (orders, onSecond) => {
  const child = fork(fileURLToPath(new URL('./load-process.ts', import.meta.url)), [], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
    // A key press for the parent (Ctrl-C) is the parent's to handle.
    detached: true,
  })
  endsWithThisProcess(child)
  const finished = new Promise<LoadResult>((resolve, reject) => {
    child.on('message', (message: LoadMessage) => {
      if (message.type === 'second') onSecond(message.second)
      else if (message.type === 'finished') resolve(message.result)
      else reject(new Error(`the load generator failed: ${message.reason}`))
    })
    child.once('exit', () => reject(new Error('the load generator ended early')))
  })
  // Whoever stops early does not wait for it.
  finished.catch(() => undefined)
  const tell = (command: LoadCommand) => {
    // It may be ending by itself in this very moment; then there is nothing to tell.
    if (child.connected) child.send(command, () => undefined)
  }
  tell({ command: 'start', orders })
  return { finished, stop: () => tell({ command: 'stop' }), kill: () => void child.kill('SIGKILL') }
}
