/**
 * The yardstick, as a process: what plain Node does with the same request. Reads the JSON body, answers 202 with a JSON of the
 * same size as a purchase's. PORT says where it listens.
 */
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end('{}')
    return
  }
  let body = ''
  request.on('data', (chunk: Buffer) => (body += chunk.toString()))
  request.on('end', () => {
    const { quantity } = JSON.parse(body) as { quantity: number }
    const text = JSON.stringify({
      orderNumber: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
      status: quantity > 0 ? 'accepted' : 'refused',
    })
    response.writeHead(202, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
    })
    response.end(text)
  })
})
server.keepAliveTimeout = 75_000
server.listen(Number(process.env['PORT']), '127.0.0.1')
