/** What a rollout needs of a cluster; `kube-cluster.ts` does it with kubectl. */
import type { KnativeService, Lease, PatchOperation, Pod, Revision } from './kube-objects.ts'

/** `changed`: what was tested no longer held, or somebody else wrote first; nothing was written. */
export type Written = 'done' | 'changed'

export type RolloutCluster = {
  /** @throws Error when there is none */
  readService(): Promise<KnativeService>
  patchService(operations: readonly PatchOperation[]): Promise<Written>
  readRevision(name: string): Promise<Revision | undefined>
  listRevisions(): Promise<Revision[]>
  listPods(revision: string): Promise<Pod[]>
  /** The text at /metrics. @throws Error when the pod does not answer */
  readMetrics(pod: string, port: number): Promise<string>
  readLease(name: string): Promise<Lease | undefined>
  /** Makes it when it has no resourceVersion, else replaces just that version. */
  writeLease(lease: Lease): Promise<Written>
  deleteLease(lease: Lease): Promise<void>
}

export type Clock = {
  nowMs(): number
  /** Rejects at once when the signal is aborted. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>
  /** RFC 3339, for people and for Leases. */
  timestamp(): string
}

/** Where the rollout is, so that a test can stop it anywhere. */
export type RolloutWorld = {
  cluster: RolloutCluster
  clock: Clock
  say: (line: string) => void
  /** Unique for each run: names the holder of the lock. */
  id: string
  /** Asks the tagged address until it answers. Undefined: it could not be reached from here, which is no verdict. */
  warm: (url: string) => Promise<{ answered: number; failed: number; lastStatus?: number } | undefined>
}
