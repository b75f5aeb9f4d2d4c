import test from 'ava'
import type { Part, PartContext } from './part.ts'
import { runParts } from './run-parts.ts'

const part = (name: string, run: Part['run']): Part => ({ name, title: name, run })
const contextWith = (signal = new AbortController().signal) =>
  ({ say: () => undefined, signal }) as unknown as Omit<PartContext, 'check' | 'defer'>

async function play(parts: readonly Part[], signal?: AbortSignal) {
  const lines: string[] = []
  const totals = await runParts(
    parts,
    contextWith(signal),
    (line) => lines.push(line),
    () => undefined,
  )
  return { lines, totals }
}

test('parts – results are counted, with a line for each', async (t) => {
  const { lines, totals } = await play([
    part('one', async ({ check }) => {
      check('holds', true)
      check('breaks', false, 'why')
    }),
    part('two', async ({ check }) => check('holds', true, '3 of 3')),
  ])
  t.deepEqual(totals, { passed: 2, failed: 1 })
  t.deepEqual(lines, ['✔ one – holds', '✘ one – breaks: why', '✔ two – holds: 3 of 3'])
})

test('parts – one that cannot go on fails and cleans up, the next one runs', async (t) => {
  const undone: string[] = []
  const { lines, totals } = await play([
    part('one', async ({ defer }) => {
      defer(async () => undone.push('first'))
      defer(async () => {
        undone.push('second')
        throw new Error('gone already')
      })
      throw new Error('no cluster')
    }),
    part('two', async ({ check }) => check('holds', true)),
  ])
  t.deepEqual(undone, ['second', 'first'])
  t.deepEqual(totals, { passed: 1, failed: 1 })
  t.is(lines[0], '✘ one – it could go on: no cluster')
})

test('parts – one that looked at nothing fails', async (t) => {
  t.deepEqual((await play([part('one', async () => undefined)])).totals, { passed: 0, failed: 1 })
})

test('parts – an interrupted run begins no further part', async (t) => {
  const controller = new AbortController()
  const { totals } = await play(
    [
      part('one', async ({ check }) => {
        check('holds', true)
        controller.abort()
      }),
      part('two', async ({ check }) => check('holds', true)),
    ],
    controller.signal,
  )
  t.deepEqual(totals, { passed: 1, failed: 0 })
})
