/**
 * Child processes of a local run: started with a plain environment, watched until they answer, stopped by their own id.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { endedByKernel, endsWithThisProcess } from '@stampede/shared/testing/child-life.ts'

export type ProcessPlan = {
  name: string
  /** Path of the entry, from the root of the repository. */
  entry: string
  environment: Record<string, string>
  logFile: string
  /** Answers 200 when the process can work. */
  readyUrl: string
  nodeArguments?: readonly string[]
}

export const repositoryFolder = fileURLToPath(new URL('../../', import.meta.url))
const readyWithinMs = 45_000
const stopWithinMs = 15_000

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    // Not listening yet.
    return false
  }
}

/** A process that can be killed and started again with the same plan. */
export class ManagedProcess {
  readonly plan: ProcessPlan
  #child: ChildProcess | undefined

  constructor(plan: ProcessPlan) {
    this.plan = plan
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.plan.logFile), { recursive: true })
    const log = createWriteStream(this.plan.logFile, { flags: 'a' })
    const [command, args] = endedByKernel(process.execPath, [
      '--disable-warning=TimeoutNegativeWarning',
      '--disable-warning=ExperimentalWarning',
      ...(this.plan.nodeArguments ?? []),
      this.plan.entry,
    ])
    const child = spawn(command, args, {
      cwd: repositoryFolder,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...this.plan.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    endsWithThisProcess(child)
    this.#child = child
    await this.ready()
  }

  /** Waits until the process answers; fails when it ended or takes too long. */
  async ready(): Promise<void> {
    const deadline = Date.now() + readyWithinMs
    while (!(await answers(this.plan.readyUrl))) {
      if (!this.running) throw new Error(`${this.plan.name} ended while it started; its log: ${this.plan.logFile}`)
      if (Date.now() > deadline)
        throw new Error(
          `${this.plan.name} was not ready after ${readyWithinMs / 1_000} s; its log: ${this.plan.logFile}`,
        )
      await sleep(50)
    }
  }

  async #ended(): Promise<void> {
    while (this.running) await sleep(20)
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended()
  }

  async stop(): Promise<void> {
    if (!this.running) return
    this.#child?.kill('SIGTERM')
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), stopWithinMs)
    await this.#ended()
    clearTimeout(late)
  }
}
