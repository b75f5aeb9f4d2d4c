/**
 * The cluster, through `kubectl`: it knows every way to sign in that a kubeconfig may name, so this code needs to know none.
 */
import { openApi, type KubeApi } from './kube-api.ts'
import { runProgram, type ProgramResult } from './run-program.ts'

export type KubectlConnection = {
  context?: string
  kubeconfig?: string
  /** Default: the one on PATH. */
  program?: string
  /** Told, in a line for people, when a proxy or a port forwarding broke and when it is there again. */
  tell?: (line: string) => void
}

export type ApplyOptions = {
  /** `server`: the server checks everything and keeps nothing. */
  dryRun?: 'server'
  /** Takes over fields that another manager owns. */
  forceConflicts?: boolean
  timeoutMs?: number
}

export type Kubectl = {
  /** Standard output. Never a shell; secrets belong into `input`. @throws KubectlError */
  run(args: readonly string[], options?: { input?: string; timeoutMs?: number }): Promise<string>
  /** `run` with `-o json`, parsed. @throws KubectlError */
  json<T>(args: readonly string[], options?: { timeoutMs?: number }): Promise<T>
  /** Server-side apply of YAML or JSON documents as field manager `stampede`. @throws KubectlError */
  apply(manifests: string, options?: ApplyOptions): Promise<string>
}

export const fieldManager = 'stampede'

/**
 * - `missing`: there is no kubectl
 * - `unreachable`: the cluster does not answer, or the kubeconfig names none
 * - `forbidden`: this user may not do that
 * - `not-found`: no such object, namespace or kind
 * - `conflict`: another field manager owns what apply would change
 * - `timeout`, `failed`: the rest
 */
export type KubectlFailure = 'missing' | 'unreachable' | 'forbidden' | 'not-found' | 'conflict' | 'timeout' | 'failed'

/** Its message is for people. Neither message nor properties hold what was given as input. */
export class KubectlError extends Error {
  override readonly name = 'KubectlError'
  readonly failure: KubectlFailure
  readonly stderr: string
  readonly exitCode: number | undefined
  constructor(args: readonly string[], result: ProgramResult, timeoutMs: number) {
    const failure = failureOf(result)
    super(
      `${explain(failure, timeoutMs)}${failure === 'missing' ? '' : shorten(result.stderr)} (kubectl ${shownArguments(args)})`,
    )
    this.failure = failure
    this.stderr = result.stderr
    this.exitCode = result.exitCode
  }
}

const defaultTimeoutMs = 60_000

export function connectKubectl(options: KubectlConnection = {}): Kubectl {
  const program = options.program ?? 'kubectl'
  const common = connectionArguments(options)
  const run: Kubectl['run'] = async (args, { input, timeoutMs = defaultTimeoutMs } = {}) => {
    const result = await runProgram(program, [...common, ...args], {
      timeoutMs,
      ...(input === undefined ? {} : { input }),
    })
    if (result.exitCode !== 0) throw new KubectlError(args, result, timeoutMs)
    return result.stdout
  }
  return {
    run,
    async json<T>(args: readonly string[], runOptions?: { timeoutMs?: number }): Promise<T> {
      return JSON.parse(await run([...args, '-o', 'json'], runOptions)) as T
    },
    apply(manifests, { dryRun, forceConflicts = false, timeoutMs = 120_000 } = {}) {
      const args = ['apply', '--server-side', `--field-manager=${fieldManager}`]
      if (forceConflicts) args.push('--force-conflicts')
      if (dryRun !== undefined) args.push(`--dry-run=${dryRun}`)
      return run([...args, '-f', '-'], { input: manifests, timeoutMs })
    },
  }
}

/** Reading access to the API server for many calls a second: `kubectl proxy` on a free port of loopback. */
export function openKubeApi(options: KubectlConnection = {}): Promise<KubeApi> {
  return openApi(options.program ?? 'kubectl', connectionArguments(options), options.tell)
}

function connectionArguments({ context, kubeconfig }: KubectlConnection): string[] {
  return [
    ...(context === undefined ? [] : [`--context=${context}`]),
    ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
  ]
}

function failureOf({ problem, stderr }: ProgramResult): KubectlFailure {
  if (problem === 'missing') return 'missing'
  if (problem === 'timeout') return 'timeout'
  if (/\(Forbidden\)|is forbidden:.*cannot|You must be logged in|Unauthorized/.test(stderr)) return 'forbidden'
  if (
    /\(NotFound\)|the server doesn't have a resource type|no matches for kind|could not find the requested resource/.test(
      stderr,
    )
  )
    return 'not-found'
  if (/\(Conflict\)|Apply failed with \d+ conflict/.test(stderr)) return 'conflict'
  if (
    /connection to the server .* was refused|Unable to connect to the server|current-context is not set|context .* does not exist|couldn't get current server API group list|no configuration has been provided|dial tcp|i\/o timeout/.test(
      stderr,
    )
  )
    return 'unreachable'
  return 'failed'
}

function explain(failure: KubectlFailure, timeoutMs: number): string {
  switch (failure) {
    case 'missing':
      return 'kubectl is not installed, or not on the PATH. Install it (https://kubernetes.io/docs/tasks/tools/) and run the same command again. '
    case 'unreachable':
      return 'The cluster does not answer. Try: kubectl cluster-info. Is KUBECONFIG set, and is it the right --context? '
    case 'forbidden':
      return 'The cluster does not let you do this. '
    case 'timeout':
      return `No answer within ${Math.round(timeoutMs / 1_000)} s. `
    default:
      return ''
  }
}

/** What was asked, without long values. */
const shownArguments = (args: readonly string[]) =>
  args.map((arg) => (arg.length > 80 ? `${arg.slice(0, 80)}…` : arg)).join(' ')

function shorten(stderr: string): string {
  const text = stderr.trim()
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text
}
