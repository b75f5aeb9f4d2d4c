/**
 * Services as containers of `compose.yaml`. The compose command only starts them. Everything else is asked of the engine
 * itself, by the labels that every compose command sets: podman-compose has no `kill` before 1.1, says nothing in its exit
 * code when no container started, and leaves networks behind.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { formatDuration, withProgress, type Say } from '../lib/terminal.ts'
import { checks } from './checks.ts'
import type { Engine, EngineName } from './engine.ts'
import { findProgram } from './local/find-program.ts'
import { run } from './local/run.ts'
import { SetupError, titleOf, type RunningService, type ServiceName } from './types.ts'

const upLimitMs = 600_000
const engineLimitMs = 60_000
const readyLimitMs = 120_000
const pollMs = 200
/** Asking the engine costs a process: not with every poll. */
const lookEveryMs = 2_000
const lastLines = 10
const composeFile = join(import.meta.dirname, '..', '..', 'compose.yaml')

/** What is needed to end the containers of a run, even by a later one. */
export type ContainerRecord = {
  engine: EngineName
  project: string
  /** The volumes stay. */
  keepData: boolean
}

export type ContainerOptions = {
  engine: Engine
  /** Compose project: one for each run, so that runs do not meet. */
  project: string
  need: readonly ServiceName[]
  ports: Record<ServiceName, [number, number]>
  /** For MariaDB. */
  password: string
  /** The volumes stay when the services are stopped. */
  keepData: boolean
  /** The containers go on when this process ends. */
  outlives: boolean
  /** Called before there is a first container. */
  starting: (record: ContainerRecord) => void
  say: Say
}

/** Variables of `compose.yaml`. */
export function composeEnvironment({
  ports,
  password,
}: Pick<ContainerOptions, 'ports' | 'password'>): Record<string, string> {
  return {
    STAMPEDE_REDIS_PORT: String(ports.redis[0]),
    STAMPEDE_MARIADB_PORT: String(ports.mariadb[0]),
    STAMPEDE_KAFKA_PORT: String(ports.kafka[0]),
    STAMPEDE_MARIADB_PASSWORD: password,
  }
}

/** The compose project of a folder, in this clone of the repository and no other. */
export function projectOf(path: string, name: string): string {
  const place = createHash('sha256').update(path).digest('hex').slice(0, 8)
  return `stampede-${name.replaceAll(/[^a-z0-9]+/g, '-')}-${place}`
}

/** @throws SetupError when they do not start; then none is left. */
export async function startContainers(options: ContainerOptions): Promise<RunningService[]> {
  const { engine, project, need, say, keepData, outlives, ports, password } = options
  const addresses: Record<ServiceName, string> = {
    redis: `redis://127.0.0.1:${ports.redis[0]}`,
    mariadb: `mysql://root:${encodeURIComponent(password)}@127.0.0.1:${ports.mariadb[0]}/stampede`,
    kafka: `127.0.0.1:${ports.kafka[0]}`,
  }
  const record: ContainerRecord = { engine: engine.name, project, keepData }
  options.starting(record)
  // Also when this process ends without stopping them. After SIGKILL the next run does it. The pause is for a compose command
  // that is ended, too, and may have one more container under way.
  const endAtExit = () => {
    spawn('sh', ['-c', `sleep 1\n${endScript(record)}`], { detached: true, stdio: 'ignore' }).unref()
  }
  if (!outlives) process.once('exit', endAtExit)
  const end = async () => {
    await endContainers(record)
    process.off('exit', endAtExit)
  }
  const beganMs = performance.now()
  try {
    const output = await withProgress(
      say,
      (elapsed) => `  waiting for the containers, ${elapsed} …`,
      () => composeUp(options),
    )
    for (const name of need) {
      const version = await waitForAnswer(record, name, addresses[name], output)
      say(`${titleOf[name]}: ${version} in ${engine.name}, ready in ${formatDuration(performance.now() - beganMs)}`)
    }
  } catch (error) {
    await end().catch(() => {})
    throw error
  }
  let ending: Promise<void> | undefined
  return need.map((name) => ({
    name,
    address: addresses[name],
    description: `in ${engine.name}, port ${ports[name][0]}`,
    // All of them at once; whoever is asked first does it.
    stop: () => (ending ??= end()),
    kill: async (signal) => {
      const container = await containerOf(record, name)
      await ask(engine.name, 'kill', '--signal', signal, container)
      await ask(engine.name, 'wait', container)
    },
    restart: async () => {
      await ask(engine.name, 'start', await containerOf(record, name))
      await waitForAnswer(record, name, addresses[name])
    },
  }))
}

async function composeUp(options: ContainerOptions): Promise<string> {
  const { engine, project, need } = options
  const [command, ...first] = engine.compose as [string, ...string[]]
  const all = [...first, '--project-name', project, '--file', composeFile, 'up', '--detach', ...need]
  const { code, output } = await run(findProgram(command) ?? command, all, {
    limitMs: upLimitMs,
    environment: composeEnvironment(options),
    endsWithUs: !options.outlives,
  })
  if (code !== 0) throw new SetupError(`${engine.compose.join(' ')} up failed:\n${endOf(output)}`)
  return output
}

const endOf = (output: string) => output.trim().split('\n').slice(-lastLines).join('\n')

/** What the engine's own program prints; its warnings are on standard error. @throws SetupError */
async function ask(engine: EngineName, ...args: string[]): Promise<string> {
  const { code, output, printed } = await run(findProgram(engine) ?? engine, args, { limitMs: engineLimitMs })
  if (code !== 0) throw new SetupError(`${engine} ${args[0]} failed:\n${endOf(output)}`)
  return printed.trim()
}

const projectLabel = 'com.docker.compose.project'

/** Its id. @throws SetupError when the compose command has made none */
async function containerOf({ engine, project }: ContainerRecord, name: ServiceName): Promise<string> {
  const labels = [`${projectLabel}=${project}`, `com.docker.compose.service=${name}`]
  const filters = labels.flatMap((label) => ['--filter', `label=${label}`])
  const id = (await ask(engine, 'ps', '--all', '--quiet', ...filters)).split('\n')[0] ?? ''
  if (id === '') throw new SetupError(`${engine} has no container for ${titleOf[name]}`)
  return id
}

/** The version. A container that ended is not waited for: its last lines say why. */
async function waitForAnswer(
  record: ContainerRecord,
  name: ServiceName,
  address: string,
  upOutput = '',
): Promise<string> {
  const deadline = performance.now() + readyLimitMs
  let looked = performance.now()
  for (;;) {
    try {
      return await checks[name](address)
    } catch (error) {
      const now = performance.now()
      if (now > deadline) {
        const reason = error instanceof Error ? error.message : String(error)
        throw new SetupError(`${titleOf[name]} in its container does not answer: ${reason}`)
      }
      if (now - looked > lookEveryMs) {
        await mustRun(record, name, upOutput)
        looked = performance.now()
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }
}

async function mustRun(record: ContainerRecord, name: ServiceName, upOutput: string): Promise<void> {
  const errors = endOf(
    upOutput
      .split('\n')
      .filter((line) => /error/i.test(line))
      .join('\n'),
  )
  const container = await containerOf(record, name).catch((error: SetupError) => {
    throw new SetupError(`${error.message}\n${errors}`.trim(), { cause: error })
  })
  const state = await ask(record.engine, 'inspect', '--format', '{{.State.Status}}', container)
  if (state === 'running' || state === 'restarting') return
  const logs = await run(findProgram(record.engine) ?? record.engine, ['logs', container], { limitMs: engineLimitMs })
  throw new SetupError(`The container of ${titleOf[name]} does not run (${state}):\n${endOf(logs.output) || errors}`)
}

/**
 * Ends containers that run, and takes away what belongs to the project. Returns whether there was anything.
 * @throws SetupError when the engine does not answer
 */
export async function endContainers(record: ContainerRecord): Promise<boolean> {
  const { code, output, printed } = await run('sh', ['-c', endScript(record)], { limitMs: engineLimitMs })
  if (code !== 0)
    throw new SetupError(
      `The containers of ${record.project} in ${record.engine} could not be ended:\n${endOf(output)}\nNext: start ${record.engine}, then the same command again.`,
    )
  // The engine names what it took away.
  return printed.trim() !== ''
}

/**
 * For a shell, so that it can go on when this process ends. Networks and volumes have the label, too; `rm --volumes` takes
 * those without a name.
 */
export function endScript({ engine, project, keepData }: ContainerRecord): string {
  const program = `'${(findProgram(engine) ?? engine).replaceAll("'", `'\\''`)}'`
  const filter = `--quiet --filter 'label=${projectLabel}=${project}'`
  // What is kept is written to the end first: Kafka and MariaDB take a few seconds.
  const stop = keepData ? 'stop -t 10' : 'kill'
  const each = (list: string, remove: string) =>
    `found=$(${program} ${list} ${filter}) || exit 1; if [ -n "$found" ]; then ${remove}; fi`
  return [
    // Some may have ended already.
    each('ps', `${program} ${stop} $found`),
    each('ps --all', `${program} rm --force --volumes $found || exit 1`),
    each('network ls', `${program} network rm $found || exit 1`),
    ...(keepData ? [] : [each('volume ls', `${program} volume rm $found || exit 1`)]),
  ].join('\n')
}
