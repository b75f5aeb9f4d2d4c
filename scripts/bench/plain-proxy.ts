/** What the gateway is compared with, as a process: a plain Node http proxy with undici. PORT says where it listens, UPSTREAM where it sends. */
import { createServer } from 'node:http'
import { Pool } from 'undici'

const pool = new Pool(process.env['UPSTREAM']!, { connections: 512, pipelining: 1 })

const server = createServer((request, response) => {
  const { connection: _connection, 'transfer-encoding': _coding, ...headers } = request.headers
  pool
    .stream(
      {
        method: request.method as 'POST',
        path: request.url!,
        headers,
        body: request.method === 'GET' ? null : request,
      },
      ({ statusCode, headers: { connection: _own, 'keep-alive': _alive, 'transfer-encoding': _chunked, ...answer } }) =>
        response.writeHead(statusCode, answer),
    )
    .catch(() => response.destroy())
})
server.keepAliveTimeout = 75_000
server.listen(Number(process.env['PORT']), '127.0.0.1')
