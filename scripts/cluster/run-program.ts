/** Runs another program to its end, without a shell: arguments are never parsed again, and what is secret goes in by standard input. */
import { spawn } from 'node:child_process'

export type ProgramOptions = {
  /** Written to the program's standard input. */
  input?: string
  /** After this time the program is stopped; default 60,000. */
  timeoutMs?: number
  /** Instead of this process' environment. */
  environment?: Record<string, string | undefined>
  folder?: string
  /** Called with each piece of standard error and standard output as it comes. */
  onOutput?: (text: string) => void
}

export type ProgramResult = {
  stdout: string
  stderr: string
  /** Undefined when the program was stopped or could not be started. */
  exitCode: number | undefined
  /** Why there is no exit code. */
  problem?: 'missing' | 'timeout' | 'too-much-output' | 'killed'
}

const maximumOutputBytes = 64 * 1_024 * 1_024
/** Between asking a program to end and ending it. */
const graceMs = 2_000

/** Never rejects because of what the program does: its result tells. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: options.environment ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.folder === undefined ? {} : { cwd: options.folder }),
    })
    let stdout = ''
    let stderr = ''
    let bytes = 0
    let problem: ProgramResult['problem']
    let killer: NodeJS.Timeout | undefined
    const stop = (why: ProgramResult['problem']) => {
      problem ??= why
      child.kill('SIGTERM')
      killer ??= setTimeout(() => child.kill('SIGKILL'), graceMs)
    }
    const timer = setTimeout(() => stop('timeout'), options.timeoutMs ?? 60_000)
    const collect = (text: string) => {
      bytes += text.length
      if (bytes > maximumOutputBytes) stop('too-much-output')
      options.onOutput?.(text)
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (bytes <= maximumOutputBytes) stdout += text
      collect(text)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (bytes <= maximumOutputBytes) stderr += text
      collect(text)
    })
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
    const finish = (exitCode: number | null) => {
      clearTimeout(timer)
      clearTimeout(killer)
      if (exitCode === null) problem ??= 'killed'
      resolve({
        stdout,
        stderr,
        exitCode: problem === undefined ? (exitCode ?? undefined) : undefined,
        ...(problem === undefined ? {} : { problem }),
      })
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      problem = error.code === 'ENOENT' || error.code === 'EACCES' ? 'missing' : 'killed'
      stderr += error.message
      finish(null)
    })
    child.once('close', finish)
  })
}
