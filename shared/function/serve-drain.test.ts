/**
 * The end of a pod as Knative does it: the queue-proxy in front goes on sending for a while after the end was decided, over kept
 * connections and new ones, and this process must answer all of it. Also what the probes of Knative look like.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { createTestIdentity } from '../testing/identity.ts'

const identity = await createTestIdentity()
const child = fileURLToPath(new URL('serve.child.ts', import.meta.url))

async function startHost(t: ExecutionContext, extra: Record<string, string>) {
  const running = spawn(process.execPath, [child], {
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', ...identity.environment, ...extra },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => running.kill('SIGKILL'))
  const exited = once(running, 'exit').then(([code]) => code as number | null)
  let out = ''
  const url = await new Promise<string>((resolve) => {
    running.stdout.on('data', (chunk) => {
      out += String(chunk)
      const found = /^listening (\S+)$/m.exec(out)?.[1]
      if (found) resolve(found)
    })
  })
  return { url, running, exited }
}

/** Passes requests on: every second one over kept connections, the others over new ones. A request that fails is counted, not repeated. */
async function startQueueProxy(t: ExecutionContext, target: string) {
  const kept = new http.Agent({ keepAlive: true, maxSockets: 64 })
  const state = { passed: 0, cut: [] as string[] }
  const server = http.createServer((request, response) => {
    state.passed += 1
    const agent = state.passed % 2 === 0 ? kept : false
    const onward = http.request(new URL(request.url!, target), { method: request.method, agent }, (answer) => {
      response.writeHead(answer.statusCode!, { 'content-type': answer.headers['content-type'] ?? 'text/plain' })
      answer.pipe(response)
      answer.on('error', (error) => state.cut.push(`answer: ${error.message}`))
    })
    onward.on('error', (error) => {
      state.cut.push(`request: ${error.message}`)
      response.writeHead(502).end()
    })
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    kept.destroy()
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state }
}

test('SIGTERM – not one request is cut that a proxy sends before its own time for draining is over', async (t) => {
  const { url, running, exited } = await startHost(t, { DRAIN_DELAY_MS: '3000' })
  const proxy = await startQueueProxy(t, url)
  const paths = ['/probe/items/x1', '/probe/hot/x1', '/probe/slow?ms=40', '/health/liveness']
  const statuses = new Map<number, number>()
  const drained = new AbortController()
  const buyer = async (number: number) => {
    for (let turn = number; !drained.signal.aborted; turn += 1) {
      const response = await fetch(`${proxy.url}${paths[turn % paths.length]}`)
      await response.arrayBuffer()
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    }
  }
  const buyers = Array.from({ length: 16 }, (_, number) => buyer(number))
  while (proxy.state.passed < 200) await sleep(10)
  running.kill('SIGTERM')
  // The readiness probe is what a proxy learns it from; it takes its time.
  while ((await fetch(`${url}/health/readiness`)).status !== 503) await sleep(5)
  const before = proxy.state.passed
  await sleep(1_500)
  drained.abort()
  await Promise.all(buyers)
  t.true(proxy.state.passed > before + 50, `${proxy.state.passed - before} requests after the signal`)
  t.deepEqual(proxy.state.cut, [])
  t.deepEqual([...statuses.keys()], [200])
  t.is(await exited, 0)
})

test('SIGTERM – what a proxy has sent in its last moment is answered, however long it takes', async (t) => {
  const { url, running, exited } = await startHost(t, { DRAIN_DELAY_MS: '1000' })
  const proxy = await startQueueProxy(t, url)
  const slow = Array.from({ length: 40 }, async () => (await fetch(`${proxy.url}/probe/slow?ms=2000`)).status)
  while (proxy.state.passed < 40) await sleep(10)
  running.kill('SIGTERM')
  t.deepEqual(new Set(await Promise.all(slow)), new Set([200]))
  t.deepEqual(proxy.state.cut, [])
  t.is(await exited, 0)
})

test('probes – of Knative and of the kubelet get the answers of everyone', async (t) => {
  const { url } = await startHost(t, {})
  for (const headers of [
    { 'k-network-probe': 'queue' },
    { 'k-network-probe': 'probe', 'k-network-hash': '1' },
    { 'knative-probe': 'true' },
    { 'user-agent': 'kube-probe/1.34', 'k-kubelet-probe': 'queue' },
    { 'user-agent': 'Knative-Activator-Probe' },
  ]) {
    const about = JSON.stringify(headers)
    for (const path of ['/health/readiness', '/health/liveness'])
      t.is((await fetch(`${url}${path}`, { headers })).status, 200, `${path} ${about}`)
    // Only events go there: a probe is none, and no failure either.
    t.is((await fetch(`${url}/`, { headers })).status, 405, about)
  }
})
