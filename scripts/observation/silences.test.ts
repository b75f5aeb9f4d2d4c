import test from 'ava'
import { silenceLines, silencesOf } from './silences.ts'
import type { Sample } from './samples.ts'

const pods = { pending: 0, creating: 0, running: 0, ready: 0, terminating: 0 }
/** `1`: pods were told, be they none; `.`: of a function, not its pods; `s`: the stock alone; `-`: functions without anything; ` `: nothing. */
const told: Record<string, Partial<Sample>> = {
  '1': { functions: { order: { pods }, seckill: {} } },
  '.': { functions: { order: { desired: 1 } } },
  s: { stock: { left: 1, sold: 0, confirmed: 0, outbox: 0 } },
  '-': { functions: { order: {}, seckill: {} } },
}
const samplesOf = (line: string): Sample[] =>
  line.split('').map((what, second) => ({ atMs: second * 1_000, second, phase: '', functions: {}, ...told[what] }))

for (const [condition, line, expected] of [
  ['nothing is missing', '11111', []],
  ['no pods are pods, too', '1', []],
  ['two spans', '11- 1  1', ['seconds 2 to 3', 'seconds 5 to 6']],
  ['something of it', '11.1s1', []],
  ['a single second', '1 1', ['second 1']],
  ['the begin', '  11', ['seconds 0 to 1']],
  ['the end, where looks are under way', '111   ', []],
  ['a long end', '111     ', ['seconds 3 to 7']],
] as const) {
  test(`silences – ${condition}`, (t) => {
    t.deepEqual(silenceLines(silencesOf(samplesOf(line))), [...expected])
  })
}
