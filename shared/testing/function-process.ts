/** A function as a process of the operating system, as it runs in production: it can be killed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { endedByKernel, endsWithThisProcess } from './child-life.ts'
import { freePort } from './free-port.ts'

export type FunctionProcess = {
  url: string
  child: ChildProcess
  /** The end of what it wrote. */
  output: () => string
  /** At once, without a word. */
  kill: () => Promise<void>
  stop: () => Promise<void>
}

const readyWithinMs = 60_000
const keptOutput = 8_000

/** `folder`: that of the function, with its `main.ts`. Resolves when it is ready; rejects with its output when it ends before, or is late. */
export async function spawnFunction(folder: string, environment: Record<string, string>): Promise<FunctionProcess> {
  const port = await freePort()
  const child = spawn(...endedByKernel(process.execPath, [join(folder, 'main.ts')]), {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      HOST: '127.0.0.1',
      DRAIN_DELAY_MS: '0',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-keptOutput)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  endsWithThisProcess(child)
  const exited = once(child, 'exit')
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    child.kill(signal)
    await exited
  }
  const url = `http://127.0.0.1:${port}`
  const untilMs = performance.now() + readyWithinMs
  while ((await fetch(`${url}/health/readiness`).catch(() => undefined))?.status !== 200) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      await end('SIGKILL')
      throw new Error(`the function did not get ready: ${output}`)
    }
    await sleep(20)
  }
  return { url, child, output: () => output, kill: () => end('SIGKILL'), stop: () => end('SIGTERM') }
}
