/** Waits until every purchase that the buyers hold is stored (or given back), and says how long that took. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@stampede/shared/database/connect.ts'
import { readLedger, type Ledger } from './audit.ts'
import type { HeldOrder } from './tally.ts'

export type Settled = {
  ledger: Ledger
  /** From the last 202 to the moment the last of the held orders was stored, by the database's and this machine's clock; 0 when it was stored before. */
  settledMs: number
  whole: boolean
}

export async function waitUntilSettled(
  database: Database,
  sale: { tenantId: string; activityId: string },
  held: readonly HeldOrder[],
  limitMs: number,
  onWait: (missing: number) => void = () => undefined,
): Promise<Settled> {
  const deadline = Date.now() + limitMs
  for (;;) {
    const begunMs = performance.now()
    const ledger = await readLedger(database, sale.tenantId, sale.activityId)
    const missing = held.filter(
      ({ orderNumber }) => !ledger.orders.has(orderNumber) && !ledger.rejected.has(orderNumber),
    ).length
    if (missing === 0 || Date.now() > deadline) {
      const lastAnswerMs = held.reduce((latest, { answeredAtMs }) => Math.max(latest, answeredAtMs), 0)
      const lastStoredMs = held.reduce(
        (latest, { orderNumber }) => Math.max(latest, ledger.orders.get(orderNumber)?.storedAtMs ?? 0),
        0,
      )
      return {
        ledger,
        settledMs: held.length === 0 ? 0 : Math.max(0, Math.round(lastStoredMs - lastAnswerMs)),
        whole: missing === 0,
      }
    }
    onWait(missing)
    // Reading costs the database what the writer needs: rest as long as it took.
    await sleep(100 + performance.now() - begunMs)
  }
}
