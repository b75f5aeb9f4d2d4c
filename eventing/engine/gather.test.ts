import test from 'ava'
import { Gather } from './gather.ts'

test('gather – the pause grows while few come at a time, and not beyond its most', (t) => {
  const gather = new Gather()
  const pauses = [0, 30, 80, 170, 280].map((nowMs) => gather.pauseMs(1, 1, nowMs))
  t.deepEqual(pauses, [20, 40, 80, 100, 100])
})

test('gather – many records, or a pause in the flow: as at the beginning', (t) => {
  const gather = new Gather()
  for (const nowMs of [0, 30, 80]) gather.pauseMs(1, 1, nowMs)
  t.is(gather.pauseMs(50, 50, 200), 20)
  t.is(gather.pauseMs(1, 1, 230), 40)
  t.is(gather.pauseMs(1, 1, 1_800), 20)
})

test('gather – who wants none of the records waits longer, until one is wanted or the flow ends', (t) => {
  const gather = new Gather()
  const pauses = [0, 30, 80, 170, 340, 660, 1_180].map((nowMs) => gather.pauseMs(50, 0, nowMs))
  t.deepEqual(pauses, [20, 40, 80, 160, 320, 500, 500])
  t.is(gather.pauseMs(5, 1, 1_700), 100)
  t.is(gather.pauseMs(50, 0, 1_800), 200)
  t.is(gather.pauseMs(50, 0, 3_400), 20)
})
