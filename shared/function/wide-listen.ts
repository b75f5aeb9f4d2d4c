/**
 * Listens with many sockets on one port. Node takes one new connection from each listening socket in a turn of its event loop,
 * and in a crowd a turn lasts as long as the requests of everybody who is in already: with one socket, the last of a thousand
 * buyers who connect in the same moment waited more than two seconds for the first answer while the others were served
 * again and again. The kernel spreads new connections over the sockets (SO_REUSEPORT).
 */
import type { Server } from 'node:http'
import net from 'node:net'
import type { AddressInfo, ListenOptions } from 'node:net'
import process from 'node:process'

/** New connections that one turn of the event loop takes at most. */
const sockets = 128
const backlog = 4_096

export type Address = {
  /** 0 takes a free one. */
  port: number
  /** Undefined: all addresses, IPv6 and IPv4. */
  host: string | undefined
}

export type Listening = {
  /** Takes no new connections. Resolves when those that there are have ended. */
  close: () => Promise<void>
}

/** Makes the server listen. Throws what listening throws, with code EADDRINUSE when another process has the port. */
export async function listenWide(server: Server, { port, host }: Address): Promise<Listening> {
  const at = (wanted: number): ListenOptions => ({ port: wanted, ...(host === undefined ? {} : { host }), backlog })
  if (process.platform !== 'linux') {
    await listen(server, at(port))
    return { close: () => closeAll([server]) }
  }
  // Two processes of one user would share the port without a word: an ordinary socket finds out.
  if (port !== 0) await tryAlone(at(port))
  await listen(server, { ...at(port), reusePort: true })
  const taken = (server.address() as AddressInfo).port
  const others = Array.from({ length: sockets - 1 }, () =>
    // As http's own server makes its sockets.
    net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket)),
  )
  try {
    await Promise.all(others.map((other) => listen(other, { ...at(taken), reusePort: true })))
  } catch (error) {
    await closeAll([server, ...others])
    throw error
  }
  return { close: () => closeAll([server, ...others]) }
}

async function tryAlone(options: ListenOptions): Promise<void> {
  const alone = net.createServer()
  await listen(alone, options)
  await closeAll([alone])
}

function listen(server: net.Server, options: ListenOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.once('listening', () => {
    server.off('error', reject)
    resolve()
  })
  // The caller's server may have a `listen` of its own.
  net.Server.prototype.listen.call(server, options)
  return promise
}

/** A server that does not listen counts as closed. */
async function closeAll(servers: readonly net.Server[]): Promise<void> {
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))))
}
