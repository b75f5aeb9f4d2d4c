/** Services as containers of `compose.yaml`, when a Docker or Podman engine answers. */
import { join } from 'node:path'
import { formatDuration, withProgress, type Say } from '../lib/terminal.ts'
import { checks } from './checks.ts'
import { findProgram } from './local/find-program.ts'
import { run, type RunResult } from './local/run.ts'
import { SetupError, titleOf, type RunningService, type ServiceName } from './types.ts'

export type Engine = {
  /** For people. */
  name: string
  /** The compose command with its first arguments. */
  compose: readonly string[]
}

type Try = (command: readonly string[]) => Promise<RunResult>

const answerLimitMs = 4_000
const upLimitMs = 600_000
const composeFile = join(import.meta.dirname, '..', '..', 'compose.yaml')

const tryToRun: Try = async ([command, ...args]) => {
  const path = findProgram(command as string)
  return path ? run(path, args, { limitMs: answerLimitMs }) : { code: 127, output: 'not installed' }
}

/** An engine that answers and has a compose command. `STAMPEDE_ENGINE=none` leaves engines out, `docker` or `podman` takes only that one. */
export async function findEngine(
  environment: Record<string, string | undefined> = process.env,
  attempt: Try = tryToRun,
): Promise<Engine | undefined> {
  const wanted = environment['STAMPEDE_ENGINE'] ?? ''
  if (wanted === 'none') return undefined
  const candidates = [
    {
      name: 'docker',
      info: ['docker', 'version', '--format', '{{.Server.Version}}'],
      composes: [['docker', 'compose'], ['docker-compose']],
    },
    {
      name: 'podman',
      info: ['podman', 'info', '--format', '{{.Version.Version}}'],
      composes: [['podman', 'compose'], ['podman-compose']],
    },
  ].filter(({ name }) => wanted === '' || wanted === name)
  for (const { name, info, composes } of candidates) {
    const answer = await attempt(info)
    if (answer.code !== 0) continue
    for (const compose of composes) {
      const version = await attempt([...compose, 'version'])
      if (version.code === 0) return { name, compose }
    }
  }
  if (wanted !== '')
    throw new SetupError(`STAMPEDE_ENGINE is ${wanted}, but no such engine answers with a compose command.`)
  return undefined
}

export type EngineOptions = {
  engine: Engine
  /** Compose project: one for each run, so that runs do not meet. */
  project: string
  need: readonly ServiceName[]
  ports: Record<ServiceName, [number, number]>
  /** For MariaDB. */
  password: string
  /** Containers and their data stay when the services are stopped. */
  keepData: boolean
  say: Say
}

/** Variables of `compose.yaml`. */
export function composeEnvironment({
  ports,
  password,
}: Pick<EngineOptions, 'ports' | 'password'>): Record<string, string> {
  return {
    STAMPEDE_REDIS_PORT: String(ports.redis[0]),
    STAMPEDE_MARIADB_PORT: String(ports.mariadb[0]),
    STAMPEDE_KAFKA_PORT: String(ports.kafka[0]),
    STAMPEDE_MARIADB_PASSWORD: password,
  }
}

export async function startContainers(options: EngineOptions): Promise<RunningService[]> {
  const { engine, project, need, say, keepData, ports, password } = options
  const [command, ...first] = engine.compose as [string, ...string[]]
  const program = findProgram(command) ?? command
  const compose = async (...args: string[]): Promise<void> => {
    const { code, output } = await run(program, [...first, '--project-name', project, '--file', composeFile, ...args], {
      limitMs: upLimitMs,
      environment: composeEnvironment(options),
    })
    if (code !== 0)
      throw new SetupError(
        `${engine.compose.join(' ')} ${args.join(' ')} failed:\n${output.trim().split('\n').slice(-10).join('\n')}`,
      )
  }
  const addresses: Record<ServiceName, string> = {
    redis: `redis://127.0.0.1:${ports.redis[0]}`,
    mariadb: `mysql://root:${encodeURIComponent(password)}@127.0.0.1:${ports.mariadb[0]}/stampede`,
    kafka: `127.0.0.1:${ports.kafka[0]}`,
  }
  const beganMs = performance.now()
  try {
    await withProgress(
      say,
      (elapsed) => `  waiting for the containers, ${elapsed} …`,
      () => compose('up', '--detach', ...need),
    )
    for (const name of need) {
      const version = await waitForAnswer(name, addresses[name])
      say(`${titleOf[name]}: ${version} in ${engine.name}, ready in ${formatDuration(performance.now() - beganMs)}`)
    }
  } catch (error) {
    await compose('down', '--volumes').catch(() => {})
    throw error
  }
  let down: Promise<void> | undefined
  return need.map((name) => ({
    name,
    address: addresses[name],
    description: `in ${engine.name}, port ${ports[name][0]}`,
    // One command stops all of them; whoever is asked first does it.
    stop: () => (down ??= keepData ? compose('stop') : compose('down', '--volumes', '--timeout', '10')),
    kill: (signal) => compose('kill', '--signal', signal, name),
    restart: async () => {
      await compose('up', '--detach', name)
      await waitForAnswer(name, addresses[name])
    },
  }))
}

const readyLimitMs = 120_000

async function waitForAnswer(name: ServiceName, address: string): Promise<string> {
  const deadline = performance.now() + readyLimitMs
  for (;;) {
    try {
      return await checks[name](address)
    } catch (error) {
      if (performance.now() > deadline) {
        throw new SetupError(
          `${titleOf[name]} in its container does not answer: ${error instanceof Error ? error.message : String(error)}`,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}
