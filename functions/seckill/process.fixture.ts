/** seckill as a process of the operating system, as it runs in production: it can be killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'
import { freePort } from '@stampede/shared/testing/services.ts'

export type SeckillProcess = {
  url: string
  pid: number
  /** At once, without a word. */
  kill(): Promise<void>
  stop(): Promise<void>
}

/** Resolves when it is ready. */
export async function spawnSeckill(environment: Record<string, string>): Promise<SeckillProcess> {
  const port = await freePort()
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      HOST: '127.0.0.1',
      DRAIN_DELAY_MS: '0',
      LOG_LEVEL: 'warn',
      K_SINK: 'http://127.0.0.1:9',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-8_000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const orphaned = () => child.kill('SIGKILL')
  process.once('exit', orphaned)
  const exited = once(child, 'exit')
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    child.kill(signal)
    await exited
    process.off('exit', orphaned)
  }
  const url = `http://127.0.0.1:${port}`
  const untilMs = performance.now() + 60_000
  while ((await fetch(`${url}/health/readiness`).catch(() => undefined))?.status !== 200) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      await end('SIGKILL')
      throw new Error(`seckill did not get ready: ${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { url, pid: child.pid!, kill: () => end('SIGKILL'), stop: () => end('SIGTERM') }
}
