import test from 'ava'
import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { listenWide } from './wide-listen.ts'

const address = { port: 0, host: '127.0.0.1' }
const portOf = (server: http.Server) => (server.address() as net.AddressInfo).port

async function connect(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

test('wide listen – a crowd that connects at once is taken in a few turns of the event loop, not one a turn', async (t) => {
  const crowd = 400
  const server = http.createServer()
  const { close } = await listenWide(server, address)
  let turn = 0
  let counting = true
  const count = () => {
    turn += 1
    if (counting) setImmediate(count)
  }
  setImmediate(count)
  const takenIn = new Set<number>()
  let taken = 0
  const all = Promise.withResolvers<void>()
  server.on('connection', () => {
    takenIn.add(turn)
    if (++taken === crowd) all.resolve()
  })
  const sockets = await Promise.all(Array.from({ length: crowd }, () => connect(portOf(server))))
  await all.promise
  counting = false
  t.true(takenIn.size < crowd / 4, `${takenIn.size} turns`)
  for (const socket of sockets) socket.destroy()
  await close()
})

test('wide listen – a port that another listener has is refused, whoever came first', async (t) => {
  const first = http.createServer()
  const { close } = await listenWide(first, address)
  const port = portOf(first)
  await t.throwsAsync(listenWide(http.createServer(), { ...address, port }), { code: 'EADDRINUSE' })
  await close()
  const plain = net.createServer().listen(port, '127.0.0.1')
  await once(plain, 'listening')
  await t.throwsAsync(listenWide(http.createServer(), { ...address, port }), { code: 'EADDRINUSE' })
  plain.close()
})

test('wide listen – closing takes nobody new and waits for requests on whichever socket they came', async (t) => {
  const waiting = new Map<string, http.ServerResponse>()
  const all = Promise.withResolvers<void>()
  const server = http.createServer((request, response) => {
    waiting.set(request.url ?? '', response)
    if (waiting.size === 50) all.resolve()
  })
  const { close } = await listenWide(server, address)
  const port = portOf(server)
  const sockets = await Promise.all(Array.from({ length: 50 }, () => connect(port)))
  const answers = sockets.map(async (socket, index) => {
    socket.write(`GET /${index} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    const [first] = (await once(socket, 'data')) as [Buffer]
    return first.toString().split('\r\n')[0]
  })
  await all.promise
  let closed = false
  const closing = close().then(() => (closed = true))
  const refused = net.connect(port, '127.0.0.1')
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException]
  t.is(error.code, 'ECONNREFUSED')
  t.false(closed)
  for (const [path, response] of waiting) if (path !== '/0') response.end()
  await Promise.all(answers.slice(1))
  t.false(closed)
  waiting.get('/0')?.end()
  await closing
  t.deepEqual(new Set(await Promise.all(answers)), new Set(['HTTP/1.1 200 OK']))
})
