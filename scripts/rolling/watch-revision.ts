/** Looks at the pods of one revision, again and again, and keeps the account of what they counted and of what befell them. */
import { conditionOf, type Pod } from './kube-objects.ts'
import { readSample, type MetricsSource } from './prometheus.ts'
import { RequestCount, type Figures } from './request-count.ts'
import type { RolloutCluster } from './rollout-cluster.ts'

export type Look = {
  /** All counted since the watch began. */
  totals: Figures
  /** False when a running pod did not answer: its errors are not known. */
  complete: boolean
  pods: number
  /** Since the last look: containers that ended, a revision that is not ready any more. */
  faults: string[]
}

export class RevisionWatch {
  readonly #cluster: Pick<RolloutCluster, 'listPods' | 'readMetrics' | 'readRevision'>
  readonly #revision: string
  readonly #source: MetricsSource
  readonly #count = new RequestCount()
  readonly #restarts = new Map<string, number>()
  #first = true

  constructor(
    cluster: Pick<RolloutCluster, 'listPods' | 'readMetrics' | 'readRevision'>,
    revision: string,
    source: MetricsSource,
  ) {
    this.#cluster = cluster
    this.#revision = revision
    this.#source = source
  }

  async look(): Promise<Look> {
    const [pods, revision] = await Promise.all([
      this.#cluster.listPods(this.#revision),
      this.#cluster.readRevision(this.#revision),
    ])
    const faults = this.#newRestarts(pods)
    const ready = revision && conditionOf(revision, 'Ready')
    if (!revision) faults.push('the revision is gone')
    else if (ready?.status === 'False')
      faults.push(`the revision is no longer ready: ${ready.reason ?? ''} ${ready.message ?? ''}`.trim())
    let complete = true
    await Promise.all(
      pods
        .filter(({ status }) => status?.phase === 'Running')
        .map(async ({ metadata }) => {
          try {
            const text = await this.#cluster.readMetrics(metadata.name, this.#source.port)
            this.#count.add(metadata.uid, readSample(text, this.#source))
          } catch {
            // A pod on its way out may be gone before it is asked; one that stays has to answer.
            if (metadata.deletionTimestamp === undefined) complete = false
          }
        }),
    )
    this.#first = false
    return { totals: this.#count.totals(), complete, pods: pods.length, faults }
  }

  #newRestarts(pods: readonly Pod[]): string[] {
    const faults: string[] = []
    for (const { metadata, status } of pods) {
      for (const { name, restartCount, lastState } of status?.containerStatuses ?? []) {
        const key = `${metadata.uid} ${name}`
        // What was before the watch is not its affair; a pod that came later began with none.
        const known = this.#restarts.get(key) ?? (this.#first ? restartCount : 0)
        if (restartCount > known) {
          const ended = lastState?.terminated
          const how = ended ? ` (${ended.reason ?? 'ended'}, exit code ${ended.exitCode})` : ''
          faults.push(`container ${name} of pod ${metadata.name} was restarted${how}`)
        }
        this.#restarts.set(key, restartCount)
      }
    }
    return faults
  }
}
