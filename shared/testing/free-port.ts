import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Below the range from which systems give ports to outgoing connections (32,768 and up on Linux): a port that is free now is not
 * taken by the next client on this machine. Only another call can choose the same one.
 */
const lowest = 20_000
const highest = 32_000
const attempts = 100

/** A TCP port on loopback that nothing listens on at the moment. Another process may still take it first: retry on a failed bind. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(lowest, highest)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${lowest} and ${highest} after ${attempts} attempts`)
}

/** True when a server could listen on this port of loopback now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.unref()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
