/** A redis-server child process of a test, for tests that kill, restart or fill it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endedByKernel, endsWithThisProcess } from './child-life.ts'
import { freePort } from './free-port.ts'

export type StartRedisOptions = {
  /** Append-only file with `everysec`, as in production. Default: nothing is kept over a restart. */
  appendonly?: boolean
  /** More arguments for redis-server, for example `['--cluster-enabled', 'yes']`. */
  args?: readonly string[]
}

export type OwnRedis = {
  url: string
  port: number
  /** Of the running process; changes with `restart`. */
  readonly pid: number
  directory: string
  /** Sends the signal and waits until the process has ended. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port with the same data; ends it first when it still runs. */
  restart(): Promise<void>
  /** Ends it and deletes its data. */
  stop(): Promise<void>
}

const readyLimitMs = 10_000
const bindAttempts = 5

/** An own Redis on a free loopback port with a temporary directory. It ends with the test process, too. */
export async function startRedis(options: StartRedisOptions = {}): Promise<OwnRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'stampede-redis-'))
  let child: ChildProcess | undefined
  let port = 0

  const boot = async () => {
    const started = spawnRedis(port, directory, options)
    child = started.child
    await waitUntilItAnswers(port, started)
  }
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  for (let attempt = 1; ; attempt += 1) {
    port = await freePort()
    try {
      await boot()
      break
    } catch (error) {
      await kill()
      if (attempt >= bindAttempts) {
        await rm(directory, { recursive: true, force: true })
        throw error
      }
    }
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return child?.pid ?? 0
    },
    directory,
    kill,
    restart: async () => {
      await kill('SIGTERM')
      await boot()
    },
    stop: async () => {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

type Started = { child: ChildProcess; output: () => string; closed: Promise<void> }

function spawnRedis(port: number, directory: string, options: StartRedisOptions): Started {
  const durability = options.appendonly ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : ['--appendonly', 'no']
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
  const child = spawn(
    ...endedByKernel('redis-server', [...place, '--save', '', ...durability, ...(options.args ?? [])]),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4_000)
  }
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  child.once('error', (error) => keep(Buffer.from(error.message)))
  // A test process that ends without `stop` must not leave servers behind.
  endsWithThisProcess(child)
  return { child, output: () => output, closed }
}

/**
 * Ready means that this very process answers INFO: a Redis that still loads its data answers LOADING to PING, and at the same port the
 * Redis of another test may answer, because both were given it as free.
 */
async function waitUntilItAnswers(port: number, started: Started): Promise<void> {
  const deadline = Date.now() + readyLimitMs
  while (Date.now() < deadline) {
    if (started.child.exitCode !== null || started.child.signalCode !== null || started.child.pid === undefined) {
      // What it said last may still be in the pipes.
      await started.closed
      throw new Error(`redis-server ended: ${started.output()}`)
    }
    if (await answers(port, started.child.pid)) return
    await delay(20)
  }
  throw new Error(`redis-server did not answer within ${readyLimitMs} ms: ${started.output()}`)
}

function answers(port: number, pid: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    const done = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1_000, () => done(false))
    socket.once('error', () => done(false))
    socket.once('connect', () => socket.write('INFO server\r\nPING\r\n'))
    socket.on('data', (data) => {
      received += data.toString()
      if (received.endsWith('+PONG\r\n')) done(received.includes(`process_id:${pid}\r\n`))
      else if (/(^|\r\n)-[A-Z]+ .*\r\n$/.test(received)) done(false)
    })
  })
}
