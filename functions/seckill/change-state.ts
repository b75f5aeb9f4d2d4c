/** Staff's decisions about a running sale, applied to all its buckets. Idempotent. */
import type { SaleState, SaleStore } from '@stampede/shared/sale/types.ts'

export type ChangeStateEffects = {
  store: Pick<SaleStore, 'setState'>
  bucketsOf(tenantId: string, activityId: string): Promise<number | undefined>
}

/** Returns false when Redis does not know the sale, or the change is not allowed any more (closed is final). */
export async function changeState(
  sale: { tenantId: string; activityId: string },
  state: SaleState,
  effects: ChangeStateEffects,
): Promise<boolean> {
  const { tenantId, activityId } = sale
  const buckets = await effects.bucketsOf(tenantId, activityId)
  if (buckets === undefined) return false
  const changes = await Promise.all(
    Array.from({ length: buckets }, (_, bucket) => effects.store.setState({ tenantId, activityId, bucket }, state)),
  )
  return changes.every(Boolean)
}
