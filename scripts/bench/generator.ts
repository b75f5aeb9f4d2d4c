/** The load generator: wrk when it is installed, else autocannon; both send the presses of a file. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { endsWithThisProcess } from '@stampede/shared/testing/child-life.ts'
import { cpuMicrosOf } from './process-figures.ts'

export type Load = {
  url: string
  path: string
  /** Lines `pass<TAB>device<TAB>body`. */
  pressesFile: string
  connections: number
  seconds: number
  /** Offered, whatever the server answers; undefined: the next request of a connection follows its answer. */
  perSecond?: number | undefined
  /** Ends the run early; what was measured until then counts. */
  stop?: AbortSignal
}

export type Measured = {
  requests: number
  perSecond: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
  failed: number
  /** Answers other than 2xx. */
  refused: number
  /** Share of one core that the generator used: near 1 it may be the bottleneck. */
  generatorCpu: number
}

export type Generator = { name: 'wrk' | 'autocannon'; run(load: Load): Promise<Measured> }

export async function findGenerator(): Promise<Generator> {
  const { output } = await run('wrk', ['--version']).catch(() => ({ output: '' }))
  return output.startsWith('wrk') ? { name: 'wrk', run: runWrk } : { name: 'autocannon', run: runAutocannon }
}

const script = fileURLToPath(new URL('./press.lua', import.meta.url))
/** More would take the second core from the servers that are measured. */
const threads = 1

async function runWrk({ url, path, pressesFile, connections, seconds, perSecond = 0, stop }: Load): Promise<Measured> {
  const { output, cpuMicros, wallMicros } = await run(
    'wrk',
    [
      `-t${threads}`,
      `-c${connections}`,
      `-d${seconds}s`,
      '--timeout',
      '10s',
      '-s',
      script,
      url,
      '--',
      pressesFile,
      path,
      String(threads),
      String(perSecond),
    ],
    stop,
  )
  const figures = /^FIGURES (.*)$/m.exec(output)?.[1]
  if (figures === undefined) throw new Error(`wrk did not finish: ${output.slice(-500)}`)
  const value = (name: string) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(figures)?.[1])
  const requests = value('requests')
  return {
    requests,
    perSecond: (requests * 1_000_000) / value('durationMicros'),
    p50Ms: value('p50') / 1_000,
    p95Ms: value('p95') / 1_000,
    p99Ms: value('p99') / 1_000,
    failed: value('failed'),
    refused: value('not2xx'),
    generatorCpu: cpuMicros / wallMicros,
  }
}

/** The output of a program and the CPU time it took, sampled until it ended. */
async function run(command: string, parameters: string[], stop?: AbortSignal) {
  const child = spawn(command, parameters, { stdio: ['ignore', 'pipe', 'pipe'] })
  endsWithThisProcess(child)
  // wrk ends in order on an interrupt and print what they have.
  const interrupt = () => child.kill('SIGINT')
  stop?.addEventListener('abort', interrupt)
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const began = performance.now()
  let cpuMicros = 0
  const sample = setInterval(() => {
    if (child.pid !== undefined) cpuMicros = cpuMicrosOf(child.pid) ?? cpuMicros
  }, 100)
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', () => resolve())
    })
  } finally {
    clearInterval(sample)
    stop?.removeEventListener('abort', interrupt)
  }
  return { output, cpuMicros, wallMicros: (performance.now() - began) * 1_000 }
}

async function runAutocannon({
  url,
  path,
  pressesFile,
  connections,
  seconds,
  perSecond,
  stop,
}: Load): Promise<Measured> {
  const { default: autocannon } = await import('autocannon')
  const lines = (await readFile(pressesFile, 'utf8')).trimEnd().split('\n')
  let at = 0
  const before = process.cpuUsage()
  const began = performance.now()
  const running = autocannon({
    url,
    connections,
    duration: seconds,
    ...(perSecond === undefined ? {} : { overallRate: perSecond }),
    timeout: 10,
    requests: [
      {
        method: 'POST',
        path,
        setupRequest: (request) => {
          const [pass = '', device = '', body = ''] = lines[at++ % lines.length]!.split('\t')
          const headers = { 'content-type': 'application/json', 'stampede-pass': pass }
          return { ...request, body, headers: device === '' ? headers : { ...headers, 'stampede-device': device } }
        },
      },
    ],
  })
  stop?.addEventListener('abort', () => running.stop())
  const result = await running
  const { user, system } = process.cpuUsage(before)
  return {
    requests: result.requests.total,
    perSecond: result.requests.total / result.duration,
    p50Ms: result.latency.p50,
    p95Ms: result.latency.p97_5,
    p99Ms: result.latency.p99,
    failed: result.errors + result.timeouts,
    refused: result.non2xx,
    generatorCpu: (user + system) / ((performance.now() - began) * 1_000),
  }
}
