/** Writes bytes on a connection as they are and gives back what came: for requests that no HTTP client would send. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Sends the parts with a pause between them and waits for the end of the connection, or for `timeoutMs`. */
export async function rawExchange(
  url: string,
  parts: readonly (string | Uint8Array)[],
  pauseMs = 0,
  timeoutMs = 10_000,
): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  socket.on('data', (chunk) => (text += chunk.toString('latin1')))
  socket.on('error', () => resolve())
  socket.on('close', () => resolve())
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  for (const [index, part] of parts.entries()) {
    if (index > 0 && pauseMs > 0) await sleep(pauseMs)
    if (!socket.destroyed) socket.write(part)
  }
  await ended
  clearTimeout(timer)
  return text
}
