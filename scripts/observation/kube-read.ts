/** Reading from the API server: JSON, and what a pod answers at one of its ports. */
import type { KubeApi } from '../cluster/kube-api.ts'
import { patiently } from '../cluster/patience.ts'

export type KubeReader = Pick<KubeApi, 'get'>

/** Somebody else's answer that is not 200. */
export class ReadError extends Error {
  override readonly name = 'ReadError'
  readonly status: number
  constructor(path: string, status: number, text: string) {
    super(`${path.split('?')[0]} answered ${status}${text === '' ? '' : `: ${text.slice(0, 200)}`}`)
    this.status = status
  }
}

/** Looks overlap, so one that waits this long holds nobody up. */
const timeoutMs = 5_000

async function read(api: KubeReader, path: string): Promise<Response> {
  const response = await api.get(path, { timeoutMs })
  if (response.ok) return response
  throw new ReadError(path, response.status, messageIn(await response.text()))
}

/** @throws ReadError, or the fetch's own error */
export async function getJson<T>(api: KubeReader, path: string): Promise<T> {
  return (await (await read(api, path)).json()) as T
}

/** A node that is started again is there after a minute or so. */
const awayMs = 120_000

/**
 * For who cannot leave a gap: an API server that was busy or away for a moment must not end a measurement of minutes.
 * @throws as `getJson`
 */
export const getJsonPatiently = <T>(
  api: KubeReader,
  path: string,
  effects: Pick<Parameters<typeof patiently>[1], 'sleep' | 'nowMs'> = {},
): Promise<T> => patiently(() => getJson<T>(api, path), { withinMs: awayMs, ...effects })

const podPath = (namespace: string, pod: string, port: number | string, path: string) =>
  `/api/v1/namespaces/${namespace}/pods/${pod}:${port}/proxy${path}`

export async function podText(
  api: KubeReader,
  namespace: string,
  pod: string,
  port: number | string,
  path: string,
): Promise<string> {
  return (await read(api, podPath(namespace, pod, port, path))).text()
}

export async function podBytes(
  api: KubeReader,
  namespace: string,
  pod: string,
  port: number,
  path: string,
): Promise<Uint8Array> {
  return (await read(api, podPath(namespace, pod, port, path))).bytes()
}

function messageIn(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? ''
  } catch {
    return text.trim()
  }
}
