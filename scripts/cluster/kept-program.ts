/**
 * A program that has to be there for as long as we are, such as `kubectl port-forward`: it says where it listens, and is started again
 * on the same port when it ends or has lost its way. Whoever connects meanwhile is refused; then the same address leads there again.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

export type KeptProgram = {
  /** `127.0.0.1:port`, the same for its whole life. */
  address: string
  close: () => Promise<void>
}

export type KeptProgramOptions = {
  program: string
  /** To listen on this port of loopback; 0: on any that is free. */
  args: (port: number) => readonly string[]
  /** The first group is the address. */
  says: RegExp
  /** It goes on after this, and leads nowhere any more. */
  lost?: RegExp
  /** For people: `the way to kourier`. */
  title: string
  tell?: ((line: string) => void) | undefined
  /** Ends early when the signal says so; for tests. */
  pause?: (durationMs: number, signal: AbortSignal) => Promise<void>
}

const startWithinMs = 15_000
const firstPauseMs = 250
const longestPauseMs = 5_000
/** What has run for so long begins with short pauses again. */
const steadyMs = 10_000
/** Between asking a program to end and ending it. */
const graceMs = 2_000

type Started = { child: ChildProcess; address: string; ended: Promise<void> }

/** @throws Error with what the program said when it does not come up the first time. Later it is tried until `close`. */
export async function keepProgram(options: KeptProgramOptions): Promise<KeptProgram> {
  const { tell = () => undefined, title, pause = pauseFor } = options
  const closing = new AbortController()
  let now = await startOnce(options, 0, closing.signal)
  const { address } = now
  const port = Number(address.slice(address.lastIndexOf(':') + 1))

  const startAgain = async (firstMs: number): Promise<Started | undefined> => {
    for (let pauseMs = firstMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      await pause(pauseMs, closing.signal)
      if (closing.signal.aborted) return undefined
      const started = await startOnce(options, port, closing.signal).catch(() => undefined)
      if (started || closing.signal.aborted) return started
    }
  }
  const keep = async () => {
    for (let pauseMs = firstPauseMs, begunMs = performance.now(); ;) {
      await now.ended
      if (closing.signal.aborted) return
      const lostMs = performance.now()
      tell(`${title} broke; it is opened again`)
      pauseMs = lostMs - begunMs > steadyMs ? firstPauseMs : Math.min(longestPauseMs, pauseMs * 2)
      const again = await startAgain(pauseMs)
      if (!again) return
      now = again
      begunMs = performance.now()
      if (closing.signal.aborted) void end(now)
      else tell(`${title} is open again after ${Math.ceil((begunMs - lostMs) / 1_000)} s`)
    }
  }
  const kept = keep()
  return {
    address,
    async close() {
      closing.abort()
      await end(now)
      await kept
    },
  }
}

async function startOnce(options: KeptProgramOptions, port: number, closing: AbortSignal): Promise<Started> {
  const child = spawn(options.program, options.args(port), { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  const giveUp = () => void child.kill('SIGTERM')
  closing.addEventListener('abort', giveUp)
  try {
    const address = await addressSaid(child, options.says)
    if (options.lost) endWhenSaid(child, options.lost)
    return { child, address, ended }
  } catch (error) {
    await end({ child, ended })
    throw error
  } finally {
    closing.removeEventListener('abort', giveUp)
  }
}

async function end({ child, ended }: Pick<Started, 'child' | 'ended'>): Promise<void> {
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await ended
  clearTimeout(killer)
}

/** Its end brings the next one. */
function endWhenSaid(child: ChildProcess, pattern: RegExp): void {
  let rest = ''
  const listen = (text: string) => {
    const lines = (rest + text).split('\n')
    rest = (lines.pop() ?? '').slice(-2_000)
    if (lines.some((line) => pattern.test(line))) child.kill('SIGTERM')
  }
  child.stdout?.on('data', listen)
  child.stderr?.on('data', listen)
}

/** The first group of `pattern` in what the program says; ends the program when that does not come. */
function addressSaid(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const fail = (why: string) => {
      clearTimeout(timer)
      child.kill('SIGTERM')
      reject(new Error(`${child.spawnfile} ${child.spawnargs[1] ?? ''} ${why}${said === '' ? '' : `: ${said.trim()}`}`))
    }
    const timer = setTimeout(() => fail(`did not start within ${startWithinMs / 1_000} s`), startWithinMs)
    const listen = (text: string) => {
      // What comes later (a line for each connection) is of no interest.
      if (said.length > 10_000) return
      said += text
      const found = pattern.exec(said)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    }
    child.stdout?.setEncoding('utf8').on('data', listen)
    child.stderr?.setEncoding('utf8').on('data', listen)
    child.once('error', (error) => fail(error.message))
    child.once('close', () => fail('ended'))
  })
}

/** Ends early, without an error, when it is aborted. */
const pauseFor = (durationMs: number, signal: AbortSignal): Promise<void> =>
  sleep(durationMs, undefined, { signal }).catch(() => {})
