import http from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { KubectlError, type Kubectl } from './kubectl.ts'
import { routeOf, type RouteEffects } from './route.ts'
import { send } from './send.ts'

const service = { status: { url: 'http://seckill.stampede.example.com' } }
const notFound = new KubectlError(
  ['get'],
  { stdout: '', stderr: 'Error from server (NotFound): no', exitCode: 1 },
  1_000,
)

/** Objects by their name in the last argument. */
function cluster(objects: Record<string, unknown>): Kubectl {
  const refuse = () => Promise.reject(new Error('not expected'))
  return {
    run: refuse,
    apply: refuse,
    async json<T>(args: readonly string[]): Promise<T> {
      const found = objects[`${args[1]}/${args.at(-1)}`]
      if (found === undefined) throw notFound
      return found as T
    },
  }
}

function network(reachable: readonly string[], names: readonly string[] = []): RouteEffects & { forwarded: string[] } {
  const forwarded: string[] = []
  return {
    forwarded,
    resolves: async (name) => names.includes(name),
    accepts: async (host, port) => reachable.includes(`${host}:${port}`),
    async forward({ namespace, service: name, port }) {
      forwarded.push(`${namespace}/${name}:${port}`)
      return { connect: '127.0.0.1:4444', close: async () => void forwarded.push('closed') }
    },
  }
}

const request = { namespace: 'stampede', service: 'seckill' }
const kourier = {
  spec: { clusterIP: '10.0.0.7' },
  status: { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } },
}

test('route – the given address wins, with the port of the URL unless it has one', async (t) => {
  const kubectl = cluster({ 'stampede/seckill': service })
  const one = await routeOf(kubectl, { ...request, ingress: '192.0.2.1:8080' }, network([]))
  t.like(one, {
    url: 'http://seckill.stampede.example.com',
    host: 'seckill.stampede.example.com',
    connect: '192.0.2.1:8080',
    by: 'given',
  })
  t.is(
    (await routeOf(kubectl, { ...request, ingress: 'gate.example.com' }, network([]))).connect,
    'gate.example.com:80',
  )
})

test('route – the own name when it resolves and answers', async (t) => {
  const kubectl = cluster({ 'stampede/seckill': service })
  const name = 'seckill.stampede.example.com'
  const route = await routeOf(kubectl, request, network([`${name}:80`], [name]))
  t.like(route, { connect: `${name}:80`, by: 'name' })
})

test('route – the load balancer first, then the address inside the cluster', async (t) => {
  const kubectl = cluster({ 'stampede/seckill': service, 'kourier-system/kourier': kourier })
  t.is((await routeOf(kubectl, request, network(['192.0.2.7:80', '10.0.0.7:80']))).connect, '192.0.2.7:80')
  t.is((await routeOf(kubectl, request, network(['10.0.0.7:80']))).connect, '10.0.0.7:80')
})

test('route – Istio where there is no Kourier, and the port of https', async (t) => {
  const kubectl = cluster({
    'stampede/seckill': { status: { url: 'https://seckill.stampede.example.com' } },
    'istio-system/istio-ingressgateway': kourier,
  })
  t.like(await routeOf(kubectl, request, network(['192.0.2.7:443'])), { connect: '192.0.2.7:443', by: 'ingress' })
})

test('route – the inner ingress for a Service that only the cluster sees', async (t) => {
  const kubectl = cluster({
    'stampede/seckill': { status: { url: 'http://seckill.stampede.svc.cluster.local' } },
    'kourier-system/kourier': kourier,
    'kourier-system/kourier-internal': { spec: { clusterIP: '10.0.0.8' } },
  })
  t.is((await routeOf(kubectl, request, network(['192.0.2.7:80', '10.0.0.8:80']))).connect, '10.0.0.8:80')
})

test('route – a forwarded port when no address answers, ended by close', async (t) => {
  const kubectl = cluster({ 'stampede/seckill': service, 'kourier-system/kourier': kourier })
  const effects = network([])
  const route = await routeOf(kubectl, request, effects)
  t.like(route, { connect: '127.0.0.1:4444', by: 'port-forward' })
  await route.close()
  t.deepEqual(effects.forwarded, ['kourier-system/kourier:80', 'closed'])
})

test('route – what to do is said when there is no URL or no ingress', async (t) => {
  await t.throwsAsync(routeOf(cluster({ 'stampede/seckill': {} }), request, network([])), {
    message: /no URL yet.*kubectl/,
  })
  await t.throwsAsync(routeOf(cluster({ 'stampede/seckill': service }), request, network([])), {
    message: /No ingress.*--ingress host:port/,
  })
})

test('send – the request carries the Host header, method and body, and the answer comes back', async (t) => {
  const server = http.createServer((incoming, response) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', (text: string) => (body += text))
    incoming.on('end', () => {
      response.writeHead(202, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ host: incoming.headers.host, method: incoming.method, url: incoming.url, body }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const connect = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const answer = await send({ url: service.status.url, host: 'seckill.stampede.example.com', connect }, '/a?b=c', {
    method: 'POST',
    body: 'Grüße',
  })
  t.is(answer.status, 202)
  t.deepEqual(JSON.parse(answer.text), {
    host: 'seckill.stampede.example.com',
    method: 'POST',
    url: '/a?b=c',
    body: 'Grüße',
  })
})

test('send – an answer that does not come is an error with the address', async (t) => {
  const server = http.createServer(() => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const connect = `127.0.0.1:${(server.address() as AddressInfo).port}`
  await t.throwsAsync(send({ url: 'http://x', host: 'x', connect }, '/', { timeoutMs: 100 }), {
    message: /no answer within 0\.1 s/,
  })
})
