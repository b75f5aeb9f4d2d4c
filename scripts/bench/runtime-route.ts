/** faas-js-runtime's own route with the same work as the yardstick, as a process. PORT says where it listens. */
import { dirname } from 'node:path'
import runtime from 'faas-js-runtime'

type Context = { body?: { quantity?: number } }

const handle = (context: Context) => ({
  statusCode: 202,
  headers: { 'content-type': 'application/json; charset=utf-8' },
  body: {
    orderNumber: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    status: (context.body?.quantity ?? 0) > 0 ? 'accepted' : 'refused',
  },
})

// A directory without a func.yaml: the runtime would merge one over these options.
await runtime.start(
  handle as never,
  { port: Number(process.env['PORT']), logLevel: 'fatal', config: dirname(process.execPath) } as never,
)
