/**
 * `kubectl proxy` on a free port of loopback: HTTP to the API server without a process for each call. Reading only: whoever
 * else is on this machine could reach the port.
 */
import { keepProgram } from './kept-program.ts'

export type KubeApi = {
  /** For example `http://127.0.0.1:43211`. The same when the proxy had to be started again. */
  url: string
  /** GET of a path such as `/api/v1/namespaces/stampede/pods`. The answer may be of any status. @throws after `timeoutMs` (default 10,000) */
  get: (path: string, options?: { timeoutMs?: number; signal?: AbortSignal }) => Promise<Response>
  close: () => Promise<void>
}

/** @throws Error with what kubectl said when the proxy does not come up. */
export async function openApi(
  program: string,
  common: readonly string[],
  tell?: (line: string) => void,
): Promise<KubeApi> {
  const proxy = await keepProgram({
    program,
    args: (port) => [
      ...common,
      'proxy',
      '--address=127.0.0.1',
      `--port=${port}`,
      '--reject-methods=POST,PUT,PATCH,DELETE',
    ],
    says: /Starting to serve on (127\.0\.0\.1:\d+)/,
    title: 'the proxy to the API server',
    tell,
  })
  const url = `http://${proxy.address}`
  return {
    url,
    get(path, { timeoutMs = 10_000, signal } = {}) {
      const timeout = AbortSignal.timeout(timeoutMs)
      return fetch(`${url}${path}`, { signal: signal ? AbortSignal.any([timeout, signal]) : timeout })
    },
    close: proxy.close,
  }
}
