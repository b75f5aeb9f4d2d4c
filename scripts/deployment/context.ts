/** What every step of a deployment works with. Effects come in here, so that a step can be tried without a cluster. */
import type { Kubectl, KubectlConnection } from '../cluster/kubectl.ts'
import type { Say } from '../lib/terminal.ts'

export const overlays = ['local', 'staging', 'production'] as const
export type Overlay = (typeof overlays)[number]

/** Everything of the platform lives in this namespace: addresses in the functions' settings carry it. */
export const namespace = 'stampede'

export type DeployContext = {
  kubectl: Kubectl
  connection: KubectlConnection
  overlay: Overlay
  /** Nothing is changed: what would be is said, checked by the server where it can. */
  dryRun: boolean
  /** Takes over fields that somebody else set (kubectl edit, kn, func). */
  forceConflicts: boolean
  /** For each wait. */
  timeoutMs: number
  say: Say
  /** Asks a person; true without asking when --yes was given. */
  confirm: (question: string) => Promise<boolean>
  environment: Readonly<Record<string, string | undefined>>
  now: () => number
  sleep: (durationMs: number) => Promise<void>
}

/** A step cannot go on. The message tells what is wrong and what to do. */
export class DeployError extends Error {
  override readonly name = 'DeployError'
}

/** The next command, as a person types it. */
export const commandLine = (context: Pick<DeployContext, 'overlay' | 'connection'>, step: string): string =>
  `scripts/deploy ${step} --overlay ${context.overlay}${context.connection.context === undefined ? '' : ` --context ${context.connection.context}`}`
