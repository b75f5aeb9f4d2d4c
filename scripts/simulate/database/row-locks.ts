/** Row locks as the database of `order` has them: they wait for each other, a deadlock ends who would close the circle. */
import type { Respond } from '../scheduler.ts'

export class Deadlock extends Error {
  override readonly name = 'Deadlock'
}

/** What a transaction is to its locks. */
export type LockHolder = { locks: Set<string>; waitsFor: LockHolder | undefined; ended: boolean }

export type RowLocks = ReturnType<typeof createRowLocks>

export function createRowLocks() {
  const holders = new Map<string, LockHolder>()
  let queue: { holder: LockHolder; retry: () => void }[] = []

  /** The transaction ends, by commit or rollback: what it held is free, and who waited tries again. */
  const release = (tx: LockHolder): void => {
    tx.ended = true
    for (const key of tx.locks) holders.delete(key)
    const waiting = queue
    queue = []
    for (const { holder, retry } of waiting) {
      holder.waitsFor = undefined
      retry()
    }
  }

  /** Calls `then` once the transaction holds all these locks. */
  const acquire = (
    tx: LockHolder,
    keys: readonly string[],
    respond: Pick<Respond<never>, 'reject'>,
    then: () => void,
  ): void => {
    if (tx.ended) {
      respond.reject(new Error('the transaction was rolled back'))
      return
    }
    for (const key of keys) {
      const holder = holders.get(key)
      if (!holder || holder === tx) {
        holders.set(key, tx)
        tx.locks.add(key)
        continue
      }
      for (let other: LockHolder | undefined = holder; other; other = other.waitsFor) {
        if (other !== tx) continue
        release(tx)
        respond.reject(new Deadlock('deadlock found when trying to get lock'))
        return
      }
      tx.waitsFor = holder
      queue.push({ holder: tx, retry: () => acquire(tx, keys, respond, then) })
      return
    }
    try {
      then()
    } catch (error) {
      respond.reject(error)
    }
  }

  return {
    acquire,
    release,
    /** Nobody else holds it. */
    isFree: (tx: LockHolder, key: string): boolean => (holders.get(key) ?? tx) === tx,
  }
}
