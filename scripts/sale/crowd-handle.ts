/** The parent's end of the crowd's process. */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CrowdCommand } from './crowd-process.ts'
import type { CrowdMessage, CrowdOrders, CrowdResult } from './crowd.ts'

export type CrowdProgress = Extract<CrowdMessage, { type: 'progress' }>

export class CrowdHandle {
  readonly #child: ChildProcess
  readonly #onProgress: (progress: CrowdProgress) => void

  constructor(onProgress: (progress: CrowdProgress) => void) {
    this.#onProgress = onProgress
    this.#child = fork(fileURLToPath(new URL('./crowd-process.ts', import.meta.url)), [], {
      execArgv: ['--disable-warning=ExperimentalWarning', '--max-old-space-size=2048'],
      serialization: 'advanced',
      // A key press for the parent (Ctrl-C) is the parent's to handle.
      detached: true,
    })
  }

  #ask(command: CrowdCommand): Promise<CrowdMessage> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        this.#child.off('message', onMessage)
        this.#child.off('exit', onExit)
        settle()
      }
      const onMessage = (message: CrowdMessage) => {
        if (message.type === 'progress') this.#onProgress(message)
        else if (message.type === 'failed') finish(() => reject(new Error(message.reason)))
        else finish(() => resolve(message))
      }
      const onExit = () => finish(() => reject(new Error('the crowd ended early')))
      this.#child.on('message', onMessage)
      this.#child.on('exit', onExit)
      this.#child.send(command)
    })
  }

  async prepare(orders: CrowdOrders): Promise<void> {
    await this.#ask({ command: 'prepare', orders })
  }

  async rush(): Promise<CrowdResult> {
    const message = await this.#ask({ command: 'rush' })
    if (message.type !== 'finished') throw new Error(`the crowd answered ${message.type}`)
    return message.result
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}
