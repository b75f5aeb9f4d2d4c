/**
 * What this process does about a Redis that forgets: it remembers what it applied, notices that Redis restarted or failed
 * over, and applies it again. One recovery at a time for each bucket.
 */
import type { Logger } from 'pino'
import { createJournal } from '@stampede/shared/sale/journal.ts'
import { recoverUntilWhole, type RecoveryStore } from '@stampede/shared/sale/recovery.ts'
import type { BucketRef, BucketSnapshot, Purchase, PurchaseBatchResult, Transfer } from '@stampede/shared/sale/types.ts'
import { createPauses } from './pauses.ts'

export type SaleMemory = {
  /** After each purchase call, before anybody is told. Starts a recovery when the result shows that Redis restarted. */
  purchased: (bucket: BucketRef, purchases: readonly Purchase[], result: PurchaseBatchResult) => void
  /** Before purchases leave Redis for Kafka. */
  relayed: (bucket: BucketRef, purchases: readonly { userId: string; quantity: number; orderNumber: string }[]) => void
  released: (bucket: BucketRef, orders: readonly { userId: string; orderNumber: string }[]) => void
  confirmed: (bucket: BucketRef, orders: readonly { userId: string; orderNumber: string }[]) => void
  /** Between the two halves of a transfer of units. */
  transferred: (donor: BucketRef, transfer: Transfer, recoveries?: number) => void
  /** After each snapshot: a process that sells nothing at the moment notices a restart by it. */
  observed: (bucket: BucketRef, snapshot: BucketSnapshot) => void
  /** Operations kept. */
  size: () => number
  /** Recoveries under way. */
  recovering: () => number
  stop: () => void
}

export function createSaleMemory(options: {
  store: RecoveryStore
  graceMs: number
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Default: the journal's clock. */
  now?: () => number
  /** Waits; default: a timer, which `stop` ends. */
  sleep?: (durationMs: number) => Promise<void>
}): SaleMemory {
  const pauses = createPauses()
  const { store, graceMs, log, sleep = pauses.sleep } = options
  const journal = createJournal({ now: options.now })
  const recovering = new Set<string>()
  let stopped = false

  const pause = async (durationMs: number): Promise<void> => {
    if (!stopped) await sleep(durationMs)
    if (stopped) throw new Error('the process ends')
  }

  const recover = async (bucket: BucketRef): Promise<void> => {
    const key = `${bucket.tenantId}:${bucket.activityId}:${bucket.bucket}`
    if (stopped || recovering.has(key)) return
    recovering.add(key)
    const about = { activityId: bucket.activityId, bucket: bucket.bucket }
    log.warn(about, 'Redis restarted or failed over: the sale is made whole')
    try {
      const { whole, restored } = await recoverUntilWhole(store, bucket, journal, { graceMs, pause })
      log[whole ? 'info' : 'error'](
        { ...about, restored },
        whole ? 'the sale is whole again' : 'the sale could not be made whole',
      )
    } catch (error) {
      // Redis is away again: the next answer that shows it begins anew.
      if (!stopped) log.warn({ ...about, error }, 'the recovery was interrupted')
    } finally {
      recovering.delete(key)
    }
  }

  const look = (bucket: BucketRef): void => {
    if (journal.mustReplay(bucket)) void recover(bucket)
  }

  return {
    purchased(bucket, purchases, result) {
      journal.purchased(bucket, purchases, result)
      look(bucket)
    },
    relayed: (bucket, purchases) => journal.relayed(bucket, purchases),
    released: (bucket, orders) => journal.released(bucket, orders),
    confirmed: (bucket, orders) => journal.confirmed(bucket, orders),
    transferred(donor, transfer, recoveries) {
      journal.transferred(donor, transfer, recoveries)
      look(donor)
    },
    observed(bucket, snapshot) {
      journal.observed(bucket, snapshot)
      if (snapshot.whole) look(bucket)
      else void recover(bucket)
    },
    size: () => journal.size(),
    recovering: () => recovering.size,
    stop() {
      stopped = true
      pauses.endAll()
    },
  }
}
