/** A program in kubectl's place: it writes down how it was called and answers as told. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
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

export type ForwardingKubectl = FakeKubectl & {
  /** Process ids of those that forward now (`proxy` or `port-forward`). */
  running: (verb: string) => Promise<number[]>
  /** Every call fails as without a cluster; what runs already goes on. */
  away: (is: boolean) => Promise<void>
  /** Calls that failed because the cluster was away. */
  refused: () => Promise<number>
}

const forwarding = `
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
const folder = dirname(fileURLToPath(import.meta.url))
const args = process.argv.slice(2)
const verb = args.includes('proxy') ? 'proxy' : args.includes('port-forward') ? 'port-forward' : undefined
if (existsSync(join(folder, 'away'))) {
  appendFileSync(join(folder, 'refused'), 'x')
  process.stderr.write('Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused\\n')
  process.exit(1)
}
if (verb === undefined) await import('./kubectl.mjs')
else {
  const targets = JSON.parse(readFileSync(join(folder, 'targets.json'), 'utf8'))
  const [host, port] = (verb === 'proxy' ? targets.api : targets.ingress).split(':')
  const asked = verb === 'proxy' ? args.find((arg) => arg.startsWith('--port=')).slice(7) : args.at(-1).split(':')[0]
  const server = createServer((client) => {
    const there = connect(Number(port), host)
    client.pipe(there).pipe(client)
    client.on('error', () => there.destroy())
    there.on('error', () => client.destroy())
  })
  server.on('error', (error) => { process.stderr.write(error.message + '\\n'); process.exit(1) })
  server.listen(Number(asked || 0), '127.0.0.1', () => {
    const own = server.address().port
    const mark = join(folder, 'running-' + verb + '-' + process.pid)
    writeFileSync(mark, '')
    process.on('SIGTERM', () => { rmSync(mark, { force: true }); process.exit(0) })
    process.on('SIGUSR2', () => process.stderr.write('E1121 portforward.go:424] an error occurred forwarding: error forwarding port 80 to pod abc, uid : failed to connect to localhost:80 inside namespace\\n'))
    process.stdout.write((verb === 'proxy' ? 'Starting to serve on 127.0.0.1:' + own : 'Forwarding from 127.0.0.1:' + own + ' -> 80') + '\\n')
  })
}
`

/** One whose `proxy` and `port-forward` lead to servers of the test and can be killed; other calls are answered as told. */
export async function createForwardingKubectl(
  targets: { api: string; ingress: string },
  answers: readonly FakeAnswer[] = [],
): Promise<ForwardingKubectl> {
  const fake = await createFakeKubectl(answers)
  const { folder, program } = fake
  await writeFile(join(folder, 'targets.json'), JSON.stringify(targets))
  await writeFile(join(folder, 'forwarding.mjs'), forwarding)
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${join(folder, 'forwarding.mjs')}" "$@"\n`)
  const isAlive = (pid: number) => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  return {
    ...fake,
    async running(verb) {
      const marks = (await readdir(folder)).filter((name) => name.startsWith(`running-${verb}-`))
      return marks.map((name) => Number(name.slice(`running-${verb}-`.length))).filter(isAlive)
    },
    async away(is) {
      if (is) await writeFile(join(folder, 'away'), '')
      else await rm(join(folder, 'away'), { force: true })
    },
    refused: async () => (await readFile(join(folder, 'refused'), 'utf8').catch(() => '')).length,
  }
}
