import type { BucketSnapshot, SaleState } from './types.ts'

/** The reply of `lua/snapshot.lua`: values separated by spaces, in the order of its header; empty when there is no such sale. */
export function parseSnapshot(reply: string): BucketSnapshot | undefined {
  if (reply === '') return undefined
  const [state, ...numbers] = reply.split(' ')
  const value = (index: number) => Number(numbers[index])
  return {
    state: state as SaleState,
    nowMs: value(0),
    total: value(1),
    left: value(2),
    sold: value(3),
    confirmed: value(4),
    perUserLimit: value(5),
    buckets: value(6),
    startsAtMs: value(7),
    endsAtMs: value(8),
    outboxLength: value(9),
    version: value(10),
    received: value(11),
    sent: value(12),
    recoveries: value(13),
    whole: value(14) === 1,
  }
}
