/** Runs the program that makes an image: minutes, many lines, no shell. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError'
  readonly program: string

  constructor(program: string) {
    super(`there is no program ${program}`)
    this.program = program
  }
}

const timeoutMs = 15 * 60_000
/** Lines of the end that a failure is told with. */
const lastLines = 30
const outputLimit = 1_000_000

/** What the program wrote to its standard output. @throws MissingProgramError, or Error with the last lines when it fails. */
export async function runBuilder(
  program: string,
  args: readonly string[],
  options: { environment: NodeJS.ProcessEnv; hear?: ((line: string) => void) | undefined },
): Promise<string> {
  const child = spawn(program, args, {
    env: options.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const timer = setTimeout(() => child.kill(), timeoutMs)
  const end = Promise.withResolvers<string>()
  child.once('error', (error: NodeJS.ErrnoException) => {
    end.reject(error.code === 'ENOENT' ? new MissingProgramError(program) : error)
  })
  let output = ''
  const tail: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      options.hear?.(line)
      tail.push(line)
      if (tail.length > lastLines) tail.shift()
      if (stream === child.stdout) output = `${output}${line}\n`.slice(-outputLimit)
    })
  }
  child.once('close', (code, signal) => {
    if (code === 0) end.resolve(output)
    else end.reject(new Error(`${program} ${args[0] ?? ''} failed (${signal ?? code}):\n${tail.join('\n')}`))
  })
  return end.promise.finally(() => clearTimeout(timer))
}
