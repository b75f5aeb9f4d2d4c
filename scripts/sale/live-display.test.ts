import test from 'ava'
import { bar, viewLines } from './live-display.ts'

test('live display – shows sold, left, lag and every reason of refusal', (t) => {
  const lines = viewLines({
    phase: 'rush',
    done: 50,
    of: 100,
    ratePerSecond: 1_234,
    tally: { requests: 60, accepted: 8, refused: { duplicate: 2, 'sold-out': 50 }, noAnswer: 0 },
    live: { left: 2, sold: 8, confirmed: 5, outbox: 1 },
  }).join('\n')
  for (const part of ['rush', '50/100', '1234/s', '8/10', 'left 2', 'lag 3', 'stored 5', 'sold-out 50', 'duplicate 2'])
    t.true(lines.includes(part), part)
})

test('live display – a bar never leaves its width', (t) => {
  t.is(bar(-1).length, bar(0.5).length)
  t.is(bar(7).length, bar(0.5).length)
})
