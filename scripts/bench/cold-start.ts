/**
 * Time from the start of a process until it answers, for each built function against a hello function of the same runtime, in turns.
 * What a cluster adds (the pod, the probes, the route) is the same for both and not in here: `npm run observe` measures it.
 */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildTarget } from '../building/build-target.ts'
import { functionEnvironment } from '../building/environment.ts'
import { findTargets } from '../building/targets.ts'
import { freePort } from '@stampede/shared/testing/free-port.ts'
import { endsWithThisProcess } from '@stampede/shared/testing/child-life.ts'
import { repositoryFolder } from '../sale/child.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'

const answerWithinMs = 30_000
const askAgainMs = 2
const clockTicksPerSecond = 100
/** The start is short, so there can be more of them than of runs of the load generator. */
const startsPerRound = 3

type Starter = { name: string; cwd: string; args: readonly string[] }
type ColdStart = {
  /** The first answer at all: liveness. */
  answerMs: number
  /** The first answer that says ready: Redis and the database have answered, migrations are done. */
  readyMs: number
  /** Of the process until then; does not depend on what else this machine does. */
  cpuMs: number
}

export async function measureColdStart(context: BenchContext): Promise<Partial<BenchFigures>> {
  const { services, identity } = context
  const targets = findTargets(repositoryFolder).filter(({ kind }) => kind !== 'engine')
  context.say('cold start: building the functions')
  for (const target of targets) await buildTarget(target, repositoryFolder)
  const runtime = join(repositoryFolder, 'node_modules', 'faas-js-runtime', 'bin', 'cli.js')
  const hello: Starter = {
    name: 'hello',
    cwd: join(repositoryFolder, 'scripts', 'building', 'hello'),
    args: [runtime, './index.js'],
  }
  const starters = [hello, ...targets.map(({ name, folder }) => ({ name, cwd: folder, args: ['dist/main.js'] }))]
  const environment = { ...functionEnvironment(services, identity), LOG_LEVEL: 'warn' }
  // The first start migrates the database and fills the system's file cache.
  for (const starter of starters) await startCold(starter, environment)

  const figures = new Map<string, ColdStart[]>(starters.map(({ name }) => [name, []]))
  for (let round = 0; round < context.rounds * startsPerRound; round++) {
    for (const starter of starters) {
      const start = await startCold(starter, environment)
      figures.get(starter.name)!.push(start)
      context.record('coldStart', { round, name: starter.name, ...start })
    }
  }
  const middle = (name: string, key: keyof ColdStart) => median(figures.get(name)!.map((start) => start[key]))
  const coldStartMs: Record<string, { answer: number; ready: number; cpu: number; ofHello: number }> = {}
  for (const { name } of starters) {
    const [answer, ready, cpu] = (['answerMs', 'readyMs', 'cpuMs'] as const).map((key) => middle(name, key))
    const ofHello = rounded(ready! / middle('hello', 'readyMs'))
    coldStartMs[name] = { answer: Math.round(answer!), ready: Math.round(ready!), cpu: Math.round(cpu!), ofHello }
    context.say(`cold start ${name.padEnd(15)} ready after ${Math.round(ready!)} ms, ${ofHello} of hello`)
  }
  return { coldStartMs }
}

async function startCold({ name, cwd, args }: Starter, environment: Record<string, string>): Promise<ColdStart> {
  const port = await freePort()
  const beganMs = performance.now()
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...environment, PATH: process.env['PATH'], PORT: String(port), FUNC_PORT: String(port) },
    stdio: 'ignore',
  })
  endsWithThisProcess(child)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    const until = async (path: string): Promise<number> => {
      while ((await statusOf(port, path)) !== 200) {
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} while it started`)
        if (performance.now() - beganMs > answerWithinMs) throw new Error(`${name} did not answer ${path} in time`)
        await sleep(askAgainMs)
      }
      return rounded(performance.now() - beganMs, 1)
    }
    const answerMs = await until('/health/liveness')
    const readyMs = await until('/health/readiness')
    return { answerMs, readyMs, cpuMs: await cpuMsOf(child.pid!) }
  } finally {
    child.kill('SIGKILL')
    await ended
  }
}

/** 0 when nobody answers. A new connection each time, as a probe makes. */
function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
    })
    asked.once('error', () => resolve(0))
    asked.end()
  })
}

/** User and system time so far; NaN where there is no /proc. */
async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields ? ((Number(fields[11]) + Number(fields[12])) * 1_000) / clockTicksPerSecond : Number.NaN
}
