/**
 * One rollout of a function at a time, by a Lease that its holder renews. Whether a holder still lives is told by watching the
 * Lease for a while, as Kubernetes' own leader election does: clocks of two machines are never compared.
 */
import type { Lease } from './kube-objects.ts'
import type { RolloutWorld } from './rollout-cluster.ts'

/** Another rollout of the function is alive. */
export class LockedError extends Error {
  override readonly name = 'LockedError'
}
/** This rollout was ended by somebody else: it must not write any more. */
export class LostError extends Error {
  override readonly name = 'LostError'
}

export type RolloutLock = {
  /** To be called often; writes only when it is time to. @throws LostError */
  renew(): Promise<void>
  release(): Promise<void>
}

const renewEveryMs = 5_000
/** A holder that was silent for so long is gone. */
const silenceMs = 20_000
const lookEveryMs = 2_000

export const leaseName = (service: string): string => `rollout-${service}`

/** @param options.force takes it from a living holder, too (`--abort`). @throws LockedError */
export async function takeLock(
  world: Pick<RolloutWorld, 'cluster' | 'clock' | 'say' | 'id'>,
  target: { namespace: string; service: string },
  options: { force?: boolean; signal?: AbortSignal } = {},
): Promise<RolloutLock> {
  const { cluster, clock, say, id } = world
  const name = leaseName(target.service)
  const wanted = (resourceVersion?: string): Lease => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: target.namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    spec: { holderIdentity: id, renewTime: clock.timestamp(), leaseDurationSeconds: silenceMs / 1_000 },
  })
  const refused = (holder: string | undefined) =>
    new LockedError(
      `A rollout of ${target.service} is going on (${holder ?? 'unknown holder'}). Wait for its end, or end it: ` +
        `scripts/rollout ${target.service} --abort`,
    )

  const found = await cluster.readLease(name)
  let held = found
  if (found && found.spec.holderIdentity !== id && options.force !== true) {
    say(
      `Another rollout of ${target.service} has left its lock; watching for ${silenceMs / 1_000} s whether it lives …`,
    )
    for (const untilMs = clock.nowMs() + silenceMs; clock.nowMs() < untilMs;) {
      await clock.sleep(lookEveryMs, options.signal)
      held = await cluster.readLease(name)
      if (!held) break
      if (held.metadata.resourceVersion !== found.metadata.resourceVersion) throw refused(held.spec.holderIdentity)
    }
  }
  if ((await cluster.writeLease(wanted(held?.metadata.resourceVersion))) === 'changed') {
    const winner = await cluster.readLease(name)
    // An answer that was lost on its way: the Lease is ours all the same.
    if (winner?.spec.holderIdentity !== id) throw refused(winner?.spec.holderIdentity)
  }

  let renewedMs = clock.nowMs()
  const own = async (): Promise<Lease> => {
    const lease = await cluster.readLease(name)
    if (lease?.spec.holderIdentity !== id)
      throw new LostError(
        `The rollout of ${target.service} was taken over by ${lease?.spec.holderIdentity ?? 'another run'}.`,
      )
    return lease
  }
  return {
    async renew() {
      if (clock.nowMs() - renewedMs < renewEveryMs) return
      const lease = await own()
      if ((await cluster.writeLease(wanted(lease.metadata.resourceVersion))) === 'changed') await own()
      renewedMs = clock.nowMs()
    },
    async release() {
      const lease = await cluster.readLease(name)
      if (lease?.spec.holderIdentity === id) await cluster.deleteLease(lease)
    },
  }
}
