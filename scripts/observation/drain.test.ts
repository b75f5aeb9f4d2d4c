import test from 'ava'
import { drain, type DrainEffects } from './drain.ts'
import type { LoadResult } from './load-orders.ts'
import { serviceLabel, type PodObject } from './pods.ts'
import { fakePod } from './testing.ts'

const labels = { [serviceLabel]: 'drain-seckill' }

function stage(cut: LoadResult['cut'] = [], onDelete: (nowMs: number) => void = () => undefined) {
  let nowMs = 1_000_000
  const pods = new Map<string, PodObject>(['a', 'b'].map((name) => [name, fakePod(name, labels, 'ready')]))
  const done: string[] = []
  let stop!: () => void
  const stopped = new Promise<void>((resolve) => (stop = resolve))
  const result: LoadResult = {
    requests: 50,
    accepted: 50 - cut.length,
    answers: {},
    errors: 0,
    noAnswer: cut.length,
    cut,
    cutCount: cut.length,
    notSent: 0,
    phases: [],
    held: [],
  }
  let next = 0
  const effects: DrainEffects = {
    startLoad: () => ({ finished: stopped.then(() => result), stop, kill: () => undefined }),
    pods: async () => [...pods.values()],
    async deletePod(name) {
      done.push(`delete ${name}`)
      onDelete(nowMs)
      pods.set(name, fakePod(name, labels, 'terminating'))
      pods.set(`new-${(next += 1)}`, fakePod(`new-${next}`, labels, 'ready'))
    },
    async replaceAll(turn) {
      done.push(`replace ${turn}`)
      for (const name of pods.keys()) pods.set(name, fakePod(name, labels, 'terminating'))
      for (const name of ['x', 'y']) pods.set(`${name}${turn}`, fakePod(`${name}${turn}`, labels, 'ready'))
    },
    say: () => undefined,
    sleep: async (ms) => {
      nowMs += ms
      await new Promise((resolve) => setImmediate(resolve))
    },
    nowMs: () => nowMs,
  }
  return { effects, done, pods }
}

test('drain – deletes pods and makes new revisions in turns, and says which pods went by which', async (t) => {
  const { effects, done } = stage()
  const result = await drain({ everySeconds: 5, takings: 3, pods: 2 }, effects)
  t.deepEqual(done, ['delete a', 'replace 1', 'delete x1'])
  t.is(result.cutCount, 0)
  t.deepEqual(result.taken.map(({ pod, by }) => `${pod} ${by}`).sort(), [
    'a deleted',
    'b scale',
    'new-1 scale',
    'x1 deleted',
  ])
})

test('drain – a cut request is named with the pods that were ending then', async (t) => {
  const cut = [
    { atMs: 0, what: 'no-answer', afterMs: 100 },
    { atMs: 900_000, what: 'status-503', afterMs: 5 },
  ]
  const { effects } = stage(cut, (nowMs) => (cut[0]!.atMs = nowMs + 1_000))
  const result = await drain({ everySeconds: 5, takings: 1, pods: 2 }, effects)
  t.is(result.cutCount, 2)
  t.deepEqual(
    result.cut.map(({ ending }) => ending),
    [['a'], []],
  )
})

test('drain – the last ready pod is never deleted', async (t) => {
  const { effects, done, pods } = stage()
  pods.delete('b')
  await drain({ everySeconds: 1, takings: 1, pods: 2 }, effects)
  t.deepEqual(done, [])
})
