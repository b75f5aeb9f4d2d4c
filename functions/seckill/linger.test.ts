import test from 'ava'
import { createLinger } from './linger.ts'

test('linger – grows while few purchases come at a time, and shrinks in a rush', (t) => {
  const linger = createLinger({ lingerMs: 20, lingerMaxMs: 200 })
  t.deepEqual(
    [3, 3, 3, 3, 3, 60, 60, 60, 60, 60].map((purchases) => linger.after(purchases)),
    [40, 80, 160, 200, 200, 100, 50, 25, 20, 20],
  )
})

test('linger – begins anew when the flow has ended', (t) => {
  const linger = createLinger({ lingerMs: 20, lingerMaxMs: 200 })
  for (let step = 0; step < 5; step++) linger.after(1)
  linger.flowEnded()
  t.is(linger.after(1), 40)
})

test('linger – stays where least and most say so', (t) => {
  t.is(createLinger({ lingerMs: 0, lingerMaxMs: 200 }).after(1), 0)
  t.is(createLinger({ lingerMs: 2, lingerMaxMs: 2 }).after(1), 2)
  t.is(createLinger({ lingerMs: 20, lingerMaxMs: 5 }).after(1), 20)
})
