import test from 'ava'
import { planCrowd, rubbishKinds, usualShares } from './crowd-plan.ts'

test('crowd – the same seed gives the same crowd, another seed another one', (t) => {
  t.deepEqual(planCrowd(500, 7), planCrowd(500, 7))
  t.notDeepEqual(planCrowd(500, 7), planCrowd(500, 8))
})

test('crowd – every buyer is a different person, and all kinds of presses occur', (t) => {
  const crowd = planCrowd(20_000, 1)
  t.is(new Set(crowd.map((buyer) => buyer.userId)).size, 20_000)
  for (const kind of rubbishKinds)
    t.true(
      crowd.some((buyer) => buyer.rubbish === kind),
      kind,
    )
  const twice = crowd.filter((buyer) => buyer.twice).length / crowd.length
  t.true(Math.abs(twice - usualShares.twice) < 0.01, `${twice}`)
  t.true(crowd.some((buyer) => buyer.early))
  t.true(crowd.some((buyer) => buyer.withoutPass))
})
