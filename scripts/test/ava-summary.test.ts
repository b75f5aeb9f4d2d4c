import test from 'ava'
import { countsOf, hasSummary } from './ava-summary.ts'

const output = (...summary: string[]) =>
  `\n  ✔ a – 7 tests failed\n  9 tests failed\n  ─\n\n${summary.map((line) => `  ${line}\n`).join('')}`

for (const [condition, text, exitCode, expected] of [
  ['all passed', output('35 tests passed'), 0, [35, 0, 0]],
  ['one passed', output('1 test passed'), 0, [1, 0, 0]],
  [
    'some failed and some are left out',
    output('1 test failed', '30 tests passed', '2 tests skipped', '1 test todo'),
    1,
    [30, 1, 3],
  ],
  [
    'all that is no test counts as a failure',
    output('2 tests passed', '1 hook failed', '1 uncaught exception', '2 unhandled rejections'),
    1,
    [2, 4, 0],
  ],
  [
    'ava does not say how many passed when one failed',
    `\n  ✔ b (2s)\n  ✘ [fail]: c${output('1 test failed')}`,
    1,
    [2, 1, 0],
  ],
  ['tests that hung failed', output('10 tests passed', '2 tests remained pending after a timeout'), 1, [10, 2, 0]],
  ['a failure without a failed test', output('10 tests passed'), 1, [10, 1, 0]],
  ['ended by a signal', '\n  ✔ a – b\n  ✔ 3 tests passed\n  7 tests failed\n', null, [2, 1, 0]],
  ['no test at all', '', 0, [0, 1, 0]],
] as const) {
  test(`summary – ${condition}`, (t) => {
    const { passed, failed, skipped } = countsOf(text, exitCode)
    t.deepEqual([passed, failed, skipped], [...expected])
  })
}

test('summary – none when ava was ended before it', (t) => {
  t.true(hasSummary(output('35 tests passed')))
  t.false(hasSummary('\n  ✔ a – b\n'))
})
