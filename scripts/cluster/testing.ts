/** A program in kubectl's place: it writes down how it was called and answers as told. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type FakeAnswer = {
  /** Regular expression on the arguments joined by a space; the first that fits answers. */
  when: string
  stdout?: string
  stderr?: string
  exitCode?: number
  /** Stays after its output until it is stopped. */
  stays?: boolean
}

export type FakeCall = { args: string[]; input: string }

export type FakeKubectl = {
  /** To be put in front of PATH. */
  folder: string
  program: string
  calls: () => Promise<FakeCall[]>
  remove: () => Promise<void>
}

const source = `
import { appendFileSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
const folder = dirname(fileURLToPath(import.meta.url))
const args = process.argv.slice(2)
const answers = JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8'))
const answer = answers.find(({ when }) => new RegExp(when).test(args.join(' ')))
const reads = args.includes('-f') && args.includes('-')
appendFileSync(join(folder, 'calls.jsonl'), JSON.stringify({ args, input: reads ? readFileSync(0, 'utf8') : '' }) + '\\n')
if (!answer) { process.stderr.write('fake kubectl: no answer for ' + args.join(' ') + '\\n'); process.exit(99) }
process.stderr.write(answer.stderr ?? '')
process.stdout.write(answer.stdout ?? '')
if (answer.stays) setInterval(() => {}, 1000)
else process.exitCode = answer.exitCode ?? 0
`

/** Answers are tried in their order. */
export async function createFakeKubectl(answers: readonly FakeAnswer[]): Promise<FakeKubectl> {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-kubectl-'))
  const program = join(folder, 'kubectl')
  await writeFile(join(folder, 'answers.json'), JSON.stringify(answers))
  await writeFile(join(folder, 'kubectl.mjs'), source)
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${join(folder, 'kubectl.mjs')}" "$@"\n`)
  await chmod(program, 0o755)
  return {
    folder,
    program,
    async calls() {
      const text = await readFile(join(folder, 'calls.jsonl'), 'utf8').catch(() => '')
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as FakeCall)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
