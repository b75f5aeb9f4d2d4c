import test from 'ava'
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'
import type { Allocation } from './allocation-store.ts'
import { decideWarmUp, warmUp, type WarmUpDecision } from './warm-up.ts'

const startsAt = '2026-01-01T12:00:00.000Z'
const startsAtMs = Date.parse(startsAt)
const bucket = {} as BucketSnapshot

const allocation = (overrides: Partial<Allocation>): Allocation => ({
  tenantId: 't',
  activityId: 'a',
  state: 'allocated',
  variantId: 'v',
  quantity: 10,
  sold: null,
  returned: null,
  terms: {
    tenantId: 't',
    activityId: 'a',
    name: 'n',
    variantId: 'v',
    stock: 10,
    perUserLimit: 1,
    buckets: 2,
    startsAt,
    endsAt: '2026-01-01T13:00:00.000Z',
    priceCents: 1,
    currency: 'EUR',
    paymentTimeoutSeconds: 1,
  },
  warmUpBegunAt: undefined,
  warmedAt: undefined,
  ...overrides,
})
const begun = { warmUpBegunAt: new Date(0) }
const warm = { ...begun, warmedAt: new Date(1) }

const cases: [
  string,
  Partial<Allocation>,
  (BucketSnapshot | undefined)[],
  number,
  number | undefined,
  WarmUpDecision,
][] = [
  ['refused', { state: 'refused' }, [undefined, undefined], -60_000, undefined, 'not-allocated'],
  ['settled', { state: 'settled' }, [bucket, bucket], 60_000, undefined, 'not-allocated'],
  ['first time, before the start', {}, [undefined, undefined], -60_000, undefined, 'create'],
  ['first time, late', {}, [undefined, undefined], 60_000, undefined, 'create'],
  ['there and known', warm, [bucket, bucket], 60_000, undefined, 'nothing'],
  ['there and not known', begun, [bucket, bucket], 60_000, undefined, 'complete'],
  ['lost, before the start', warm, [undefined, undefined], -60_000, undefined, 'ask-orders'],
  ['lost, before the start, no orders', warm, [undefined, undefined], -60_000, 0, 'create'],
  ['lost, before the start, with orders', warm, [undefined, undefined], -60_000, 3, 'needs-rebuild'],
  ['half lost, before the start, no orders', warm, [bucket, undefined], -60_000, 0, 'create'],
  ['lost, just before the start: clocks differ', warm, [undefined, undefined], -4_999, 0, 'needs-rebuild'],
  ['lost, running', warm, [undefined, undefined], 60_000, 0, 'needs-rebuild'],
  ['half lost, running', warm, [bucket, undefined], 60_000, 0, 'needs-rebuild'],
  ['begun, died, running', begun, [undefined, undefined], 60_000, 0, 'needs-rebuild'],
]

for (const [name, overrides, buckets, afterStartMs, orderedUnits, expected] of cases) {
  test(`decideWarmUp – ${name}: ${expected}`, (t) => {
    const view = {
      allocation: allocation(overrides),
      buckets,
      nowMs: startsAtMs + afterStartMs,
      clockSkewMs: 5_000,
      orderedUnits,
    }
    t.is(decideWarmUp(view), expected)
  })
}

test('warmUp – cancelled while it creates: closes what it created', async (t) => {
  const steps: string[] = []
  const outcome = await warmUp(
    {
      now: () => startsAtMs - 60_000,
      findAllocation: async () => allocation({}),
      snapshots: async () => [undefined, undefined],
      orderedUnits: async () => 0,
      markBegun: async () => void steps.push('begun'),
      create: async () => steps.push('created'),
      markWarm: async () => false,
      closeSale: async (buckets) => void steps.push(`closed ${buckets}`),
    },
    5_000,
  )
  t.is(outcome, 'not-allocated')
  t.deepEqual(steps, ['begun', 'created', 'closed 2'])
})

test('warmUp – dies right after the creation: the trace was written before', async (t) => {
  const steps: string[] = []
  await t.throwsAsync(
    warmUp(
      {
        now: () => startsAtMs - 60_000,
        findAllocation: async () => allocation({}),
        snapshots: async () => [undefined, undefined],
        orderedUnits: async () => 0,
        markBegun: async () => void steps.push('begun'),
        create: async () => {
          t.deepEqual(steps, ['begun'])
          throw new Error('died')
        },
        markWarm: async () => true,
        closeSale: async () => {},
      },
      5_000,
    ),
    { message: 'died' },
  )
})
