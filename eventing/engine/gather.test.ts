import test from 'ava'
import { Gather } from './gather.ts'

test('gather – the pause grows while few records come at a time, and not beyond its most', (t) => {
  const gather = new Gather()
  const pauses = [0, 30, 80, 170, 280].map((nowMs) => gather.pauseMs(1, nowMs))
  t.deepEqual(pauses, [20, 40, 80, 100, 100])
})

test('gather – many records, or a pause in the flow: as at the beginning', (t) => {
  const gather = new Gather()
  for (const nowMs of [0, 30, 80]) gather.pauseMs(1, nowMs)
  t.is(gather.pauseMs(50, 200), 20)
  t.is(gather.pauseMs(1, 230), 40)
  t.is(gather.pauseMs(1, 800), 20)
})
