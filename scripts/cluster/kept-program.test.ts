/** With real programs that are really killed: one in kubectl's place that listens, forwards, and can be told not to. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { openKubeApi, type Kubectl } from './kubectl.ts'
import { keepProgram } from './kept-program.ts'
import { routeOf } from './route.ts'
import { send } from './send.ts'
import { createForwardingKubectl } from './testing.ts'

async function target(t: ExecutionContext): Promise<string> {
  const server = http.createServer((request, response) => response.end(`${request.headers.host} ${request.url}`))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function start(t: ExecutionContext) {
  const kubectl = await createForwardingKubectl({ api: await target(t), ingress: await target(t) })
  t.teardown(() => kubectl.remove())
  const told: string[] = []
  return { kubectl, told, connection: { program: kubectl.program, tell: (line: string) => void told.push(line) } }
}

/** Looks until it is so; the limit is for a machine that has other things to do. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error('it did not become so within 30 s')
    await sleep(50)
  }
}
const answers = (work: () => Promise<unknown>) => () =>
  work().then(
    () => true,
    () => false,
  )

test('kubectl proxy – killed, it is there again at the same address', async (t) => {
  const { kubectl, told, connection } = await start(t)
  const api = await openKubeApi(connection)
  t.teardown(() => api.close())
  const text = async () => (await api.get('/healthz')).text()
  t.regex(await text(), /\/healthz$/)
  for (let turn = 0; turn < 2; turn++) {
    const [pid] = await kubectl.running('proxy')
    process.kill(pid!, 'SIGKILL')
    await until(async () => !(await kubectl.running('proxy')).includes(pid!))
    await until(answers(text))
  }
  t.is(told.filter((line) => /proxy to the API server broke/.test(line)).length, 2)
  await until(async () => told.filter((line) => /is open again after \d+ s/.test(line)).length === 2)
})

test('port-forward – while the cluster is away nobody answers, then the same address leads there again', async (t) => {
  const { kubectl, told, connection } = await start(t)
  const found = { status: { url: 'http://seckill.stampede.test' } }
  const cluster = {
    json: async (args: readonly string[]) => (args.includes('seckill') ? found : {}),
  } as unknown as Kubectl
  const route = await routeOf(cluster, { namespace: 'stampede', service: 'seckill', connection })
  t.teardown(() => route.close())
  t.is(route.by, 'port-forward')
  const ask = () => send(route, '/x', { timeoutMs: 2_000 })
  t.is((await ask()).text, 'seckill.stampede.test /x')

  await kubectl.away(true)
  for (const pid of await kubectl.running('port-forward')) process.kill(pid, 'SIGKILL')
  await until(async () => !(await answers(ask)()))
  await t.throwsAsync(ask(), { name: 'NoAnswerError' })
  // It was tried in vain meanwhile.
  await until(async () => (await kubectl.refused()) >= 2)
  await kubectl.away(false)
  await until(answers(ask))
  t.is((await ask()).text, 'seckill.stampede.test /x')
  t.true(told.some((line) => /the way to kourier-system\/kourier broke/.test(line)))
})

test('port-forward – one that goes on and leads nowhere is replaced', async (t) => {
  const { kubectl, connection } = await start(t)
  const found = { status: { url: 'http://seckill.stampede.test' } }
  const cluster = { json: async () => found } as unknown as Kubectl
  const route = await routeOf(cluster, { namespace: 'stampede', service: 'seckill', connection })
  t.teardown(() => route.close())
  const [pid] = await kubectl.running('port-forward')
  // It says what kubectl says when its pod is gone, and stays.
  process.kill(pid!, 'SIGUSR2')
  await until(async () => {
    const running = await kubectl.running('port-forward')
    return running.length === 1 && running[0] !== pid
  })
  await until(answers(() => send(route, '/', { timeoutMs: 2_000 })))
  t.pass()
})

test('a kept program – does not come up at first: its words, and nothing is tried again', async (t) => {
  const { kubectl, connection } = await start(t)
  await kubectl.away(true)
  await t.throwsAsync(openKubeApi(connection), { message: /Unable to connect to the server/ })
  t.is(await kubectl.refused(), 1)
})

test('a kept program – closed while it is away it does not come again', async (t) => {
  const { kubectl, connection } = await start(t)
  const api = await openKubeApi(connection)
  await kubectl.away(true)
  for (const pid of await kubectl.running('proxy')) process.kill(pid, 'SIGKILL')
  await until(async () => (await kubectl.refused()) >= 1)
  await api.close()
  await kubectl.away(false)
  t.deepEqual(await kubectl.running('proxy'), [])
})

test('a kept program – one that ends right after its start is not started without pauses', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-kept-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, 'short')
  await writeFile(program, '#!/bin/sh\necho at 127.0.0.1:4444\n')
  await chmod(program, 0o755)
  const pauses: number[] = []
  const kept = await keepProgram({
    program,
    args: () => [],
    says: /at (\S+)/,
    title: 'it',
    pause: async (durationMs) => void pauses.push(durationMs),
  })
  await until(async () => pauses.length >= 7)
  await kept.close()
  t.deepEqual(pauses.slice(0, 7), [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000])
})
