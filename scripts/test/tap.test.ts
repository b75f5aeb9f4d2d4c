import test from 'ava'
import { readTapLine } from './tap.ts'

for (const [line, expected] of [
  ['ok 1 - shared › a – b', { kind: 'passed', title: 'shared › a – b' }],
  ['not ok 12 - shared › a – b', { kind: 'failed', title: 'shared › a – b' }],
  ['not ok - cannot be loaded', { kind: 'failed', title: 'cannot be loaded' }],
  ['ok 3 - later # SKIP', { kind: 'skipped', title: 'later' }],
  ['not ok 4 - some day # TODO', { kind: 'skipped', title: 'some day' }],
  ['ok 5 - counts # of things', { kind: 'passed', title: 'counts # of things' }],
  ['  ---', { kind: 'detail', line: '  ---' }],
  ['# exited', { kind: 'comment', line: 'exited' }],
  ['TAP version 13', undefined],
  ['1..7', undefined],
  ['# pass 7', undefined],
  ['', undefined],
] as const) {
  test(`TAP – ${JSON.stringify(line)} is ${expected?.kind ?? 'nothing'}`, (t) => {
    t.deepEqual(readTapLine(line), expected)
  })
}
