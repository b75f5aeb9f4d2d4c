import { spawn } from 'node:child_process'

export type RunResult = {
  code: number
  /** Both streams. */
  output: string
  /** Standard output alone. */
  printed: string
}

/** Runs a program to its end and keeps the last part of its output. Never rejects for a failing program: look at `code`. */
export function run(
  command: string,
  args: readonly string[],
  options: {
    cwd?: string
    environment?: Record<string, string>
    limitMs: number
    onLine?: (line: string) => void
    keepCharacters?: number
    /** It does not outlive this process. */
    endsWithUs?: boolean
  },
): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.environment },
      timeout: options.limitMs,
      killSignal: 'SIGKILL',
    })
    const end = () => child.kill()
    if (options.endsWithUs) process.once('exit', end)
    child.once('close', () => process.off('exit', end))
    let output = ''
    let printed = ''
    let unfinished = ''
    const limit = options.keepCharacters ?? 8_000
    const keep = (chunk: string) => {
      output = (output + chunk).slice(-limit)
      if (!options.onLine) return
      const lines = (unfinished + chunk).split('\n')
      unfinished = lines.pop() ?? ''
      for (const line of lines) options.onLine(line)
    }
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      printed = (printed + chunk).slice(-limit)
      keep(chunk)
    })
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', (error) => resolve({ code: 127, output: error.message, printed: '' }))
    child.once('close', (code, signal) => {
      const ended = signal === 'SIGKILL' ? `\nended after ${options.limitMs / 1000} s` : ''
      resolve({ code: code ?? 128, output: output + ended, printed })
    })
  })
}
