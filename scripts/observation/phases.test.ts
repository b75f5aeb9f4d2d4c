import test from 'ava'
import { dueRequests, phaseAt, plannedRequests, planSeconds, salePlan, steadyPlan } from './phases.ts'

const plan = salePlan({
  warmRate: 10,
  warmSeconds: 2,
  burstRate: 100,
  burstSeconds: 3,
  plateauRate: 20,
  plateauSeconds: 5,
  endSeconds: 4,
})

test('phases – what is due grows by the rate of each phase and falls evenly at the end', (t) => {
  t.is(dueRequests(plan, 0), 0)
  t.is(dueRequests(plan, 1_500), 15)
  t.is(dueRequests(plan, 2_000), 20)
  t.is(dueRequests(plan, 5_000), 320)
  t.is(dueRequests(plan, 10_000), 420)
  // Half of the end has three quarters of its 40 requests.
  t.is(dueRequests(plan, 12_000), 450)
  t.is(dueRequests(plan, 14_000), 460)
  t.is(dueRequests(plan, 99_000), 460)
  t.is(plannedRequests(plan), 460)
})

test('phases – each moment has its phase, and the time after the plan has none', (t) => {
  t.deepEqual(
    [0, 1_999, 2_000, 4_999, 5_000, 10_000, 13_999, 14_000].map((ms) => phaseAt(plan, ms)),
    ['warm', 'warm', 'burst', 'burst', 'plateau', 'end', 'end', undefined],
  )
  t.is(planSeconds(plan), 14)
})

test('phases – a phase of no seconds is left out', (t) => {
  const short = salePlan({
    warmRate: 1,
    warmSeconds: 0,
    burstRate: 5,
    burstSeconds: 1,
    plateauRate: 1,
    plateauSeconds: 0,
    endSeconds: 0,
  })
  t.deepEqual(
    short.map(({ name }) => name),
    ['burst'],
  )
})

test('phases – fractions of a rate add up to whole requests', (t) => {
  const steady = steadyPlan(3, 10)
  let sum = 0
  for (let ms = 0; ms <= 10_000; ms += 7) sum = dueRequests(steady, ms)
  t.is(Math.max(sum, dueRequests(steady, 10_000)), 30)
})
