/** The sale of an activity in Redis, all its buckets together. */
import type { BucketSnapshot, SaleState, SaleStore } from '@stampede/shared/sale/types.ts'
import { saleStateOf } from './activity-state.ts'
import type { Activity } from './store.ts'

type SaleOf = Pick<Activity, 'tenantId' | 'activityId' | 'buckets'>

export type SaleSums = { sold: number; left: number; total: number; outboxLength: number }

const refs = ({ tenantId, activityId, buckets }: SaleOf) =>
  Array.from({ length: buckets }, (_, bucket) => ({ tenantId, activityId, bucket }))

export function readSale(store: SaleStore, sale: SaleOf): Promise<(BucketSnapshot | undefined)[]> {
  return Promise.all(refs(sale).map((bucket) => store.snapshot(bucket)))
}

export function sums(snapshots: readonly (BucketSnapshot | undefined)[]): SaleSums {
  const sum = (field: keyof SaleSums) => snapshots.reduce((units, snapshot) => units + (snapshot?.[field] ?? 0), 0)
  return { sold: sum('sold'), left: sum('left'), total: sum('total'), outboxLength: sum('outboxLength') }
}

/** Sets the state where the sale exists and says otherwise. A sale that is being rebuilt is left to the reconciliation, which asks for the state itself. */
export async function applySaleState(store: SaleStore, sale: SaleOf, wanted: SaleState): Promise<boolean> {
  const snapshots = await readSale(store, sale)
  let changed = false
  for (const bucket of refs(sale)) {
    const snapshot = snapshots[bucket.bucket]
    if (!snapshot || snapshot.state === wanted) continue
    if (snapshot.state === 'rebuilding') continue
    changed = (await store.setState(bucket, wanted)) || changed
  }
  return changed
}

/** Stops a sale for a moment and looks: nothing is sold any more after the answer. Returns the units sold. */
export async function holdSale(store: SaleStore, sale: SaleOf): Promise<number> {
  await applySaleState(store, sale, 'paused')
  return sums(await readSale(store, sale)).sold
}

/** Two decisions of staff at the same time may reach Redis in the wrong order: so often it is looked at again. */
const maximumApplications = 3

/** Makes the sale in Redis say what the activity says, also when another decision overtakes this one. `reread` gives the activity as it is now. */
export async function followActivity(
  store: SaleStore,
  activity: Activity,
  reread: () => Promise<Activity>,
): Promise<void> {
  let current = activity
  for (let round = 0; round < maximumApplications; round++) {
    const wanted = saleStateOf(current.state)
    if (wanted === undefined) return
    await applySaleState(store, current, wanted)
    const latest = await reread()
    if (latest.version === current.version) return
    current = latest
  }
}
