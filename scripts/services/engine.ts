/** Whether a Docker or Podman engine answers, and with which compose command. */
import { findProgram } from './local/find-program.ts'
import { run, type RunResult } from './local/run.ts'
import { SetupError } from './types.ts'

export type EngineName = 'docker' | 'podman'
export type Engine = {
  /** Its program. */
  name: EngineName
  /** The compose command with its first arguments. */
  compose: readonly string[]
}

type Try = (command: readonly string[]) => Promise<Pick<RunResult, 'code'>>

const answerLimitMs = 4_000

const tryToRun: Try = async ([command, ...args]) => {
  const path = findProgram(command as string)
  return path ? run(path, args, { limitMs: answerLimitMs }) : { code: 127 }
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
      name: 'docker' as const,
      info: ['docker', 'version', '--format', '{{.Server.Version}}'],
      composes: [['docker', 'compose'], ['docker-compose']],
    },
    {
      name: 'podman' as const,
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
    throw new SetupError(
      `STAMPEDE_ENGINE is ${wanted}, but no such engine answers with a compose command.\nNext: start it, or leave engines out: STAMPEDE_ENGINE=none`,
    )
  return undefined
}
