/** A server as a child process: its output goes to a file, readiness is asked for, and it does not outlive us. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { endedByKernel, endsWithThisProcess } from '@stampede/shared/testing/child-life.ts'
import { SetupError } from '../types.ts'

export type ServerCommand = {
  /** For people. */
  title: string
  command: string
  args: readonly string[]
  environment?: Record<string, string>
  /** Its output is added here. */
  logFile: string
  /** Rejects until the server answers. */
  ready: () => Promise<unknown>
  readyLimitMs: number
  /** After SIGTERM this long, then SIGKILL. */
  stopLimitMs: number
  /** Goes on when this process ends (`npm run services -- up`). */
  outlives?: boolean
}

const pollMs = 50

export class ServerProcess {
  readonly #server: ServerCommand
  #child: ChildProcess | undefined

  constructor(server: ServerCommand) {
    this.#server = server
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get isRunning(): boolean {
    return (
      this.#child !== undefined &&
      this.#child.pid !== undefined &&
      this.#child.exitCode === null &&
      this.#child.signalCode === null
    )
  }

  /** Resolves when the server answers. `started` is called as soon as there is a process, before it is ready. */
  async start(started: (pid: number) => void): Promise<void> {
    const { title, command, args, environment, logFile, outlives } = this.#server
    const log = await open(logFile, 'a')
    const [file, all] = outlives ? [command, args] : endedByKernel(command, args)
    const child = spawn(file, all, {
      // A group of its own: Ctrl-C at the terminal must not end the servers before their clients.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...environment },
    })
    let failure: Error | undefined
    child.once('error', (error) => {
      failure = error
    })
    await log.close()
    this.#child = child
    if (child.pid !== undefined) started(child.pid)
    if (outlives) {
      child.unref()
    } else {
      endsWithThisProcess(child)
    }
    try {
      await this.#waitUntilReady(() => failure)
    } catch (error) {
      await this.kill('SIGKILL')
      const reason = error instanceof Error ? error.message : String(error)
      throw new SetupError(`${title} did not start: ${reason}\nThe end of ${logFile}:\n${await tailOf(logFile)}`)
    }
  }

  async #waitUntilReady(failure: () => Error | undefined): Promise<void> {
    const { ready, readyLimitMs } = this.#server
    const deadline = performance.now() + readyLimitMs
    let last: unknown
    while (performance.now() < deadline) {
      const broken = failure()
      if (broken) throw broken
      if (!this.isRunning)
        throw new Error(`it ended with ${this.#child?.signalCode ?? `code ${this.#child?.exitCode}`}`)
      try {
        await ready()
        return
      } catch (error) {
        last = error
        await delay(pollMs)
      }
    }
    throw new Error(
      `no answer within ${readyLimitMs / 1000} s (${last instanceof Error ? last.message : String(last)})`,
    )
  }

  /** Sends the signal and waits until the process has ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (!child || !this.isRunning) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (!child || !this.isRunning) return
    const impatience = setTimeout(() => child.kill('SIGKILL'), this.#server.stopLimitMs)
    await this.kill('SIGTERM')
    clearTimeout(impatience)
  }
}

async function tailOf(logFile: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-15).join('\n')
}
