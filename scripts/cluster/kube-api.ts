/**
 * `kubectl proxy` on a free port of loopback: HTTP to the API server without a process for each call. Reading only: whoever
 * else is on this machine could reach the port.
 */
import { spawn, type ChildProcess } from 'node:child_process'

export type KubeApi = {
  /** For example `http://127.0.0.1:43211`. */
  url: string
  /** GET of a path such as `/api/v1/namespaces/stampede/pods`. The answer may be of any status. @throws after `timeoutMs` (default 10,000) */
  get: (path: string, options?: { timeoutMs?: number; signal?: AbortSignal }) => Promise<Response>
  close: () => Promise<void>
}

const startWithinMs = 15_000

/** @throws Error with what kubectl said when the proxy does not come up. */
export async function openApi(program: string, common: readonly string[]): Promise<KubeApi> {
  const child = spawn(
    program,
    [...common, 'proxy', '--address=127.0.0.1', '--port=0', '--reject-methods=POST,PUT,PATCH,DELETE'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  const url = `http://${await addressSaid(child, /Starting to serve on (127\.0\.0\.1:\d+)/)}`
  return {
    url,
    get(path, { timeoutMs = 10_000, signal } = {}) {
      const timeout = AbortSignal.timeout(timeoutMs)
      return fetch(`${url}${path}`, { signal: signal ? AbortSignal.any([timeout, signal]) : timeout })
    },
    async close() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** The first group of `pattern` in what the program says; ends the program when that does not come. */
export function addressSaid(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const fail = (why: string) => {
      clearTimeout(timer)
      child.kill('SIGTERM')
      reject(new Error(`${child.spawnfile} ${child.spawnargs[1] ?? ''} ${why}${said === '' ? '' : `: ${said.trim()}`}`))
    }
    const timer = setTimeout(() => fail(`did not start within ${startWithinMs / 1_000} s`), startWithinMs)
    const listen = (text: string) => {
      // What comes later (a line for each connection) is of no interest.
      if (said.length > 10_000) return
      said += text
      const found = pattern.exec(said)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    }
    child.stdout?.setEncoding('utf8').on('data', listen)
    child.stderr?.setEncoding('utf8').on('data', listen)
    child.once('error', (error) => fail(error.message))
    child.once('close', () => fail('ended'))
  })
}
