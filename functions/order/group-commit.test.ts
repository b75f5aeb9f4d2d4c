import test from 'ava'
import { Problem } from '@stampede/shared/http/problem.ts'
import { createGroupCommit } from './group-commit.ts'

type Delivery = { name: string; weight: number }

/** Settles when told to; a delivery is its weight and a name. */
function controlled(options: { maximumGroup?: number; maximumQueue?: number } = {}) {
  const groups: string[][] = []
  const prepared: string[] = []
  const pending: { resolve: () => void; reject: (error: unknown) => void }[] = []
  const poison = new Set<string>()
  let hold = false
  let unavailable = false
  let together = 0
  let mostTogether = 0
  const commit = createGroupCommit<Delivery, Delivery[], string>({
    prepare: (deliveries) => {
      const names = deliveries.map(({ name }) => name)
      if (names.some((name) => name.startsWith('unpreparable'))) throw new Error(`cannot prepare ${names.join()}`)
      prepared.push(names.join())
      return [...deliveries]
    },
    settle: async (deliveries, meanwhile) => {
      groups.push(deliveries.map(({ name }) => name))
      together += 1
      mostTogether = Math.max(mostTogether, together)
      try {
        meanwhile()
        if (hold) await new Promise<void>((resolve, reject) => pending.push({ resolve, reject }))
        else await new Promise((resolve) => setImmediate(resolve))
        if (unavailable) throw new Problem('dependency-unavailable', 'no database')
        const bad = deliveries.find(({ name }) => poison.has(name))
        if (bad) throw new Error(`cannot settle ${bad.name}`)
        return deliveries.map(({ name }) => `settled ${name}`)
      } finally {
        together -= 1
      }
    },
    weigh: ({ weight }) => weight,
    maximumGroup: options.maximumGroup ?? 10,
    maximumQueue: options.maximumQueue ?? 100,
    isEnvironmental: (error) => error instanceof Problem && error.retryable,
  })
  return {
    commit,
    groups,
    prepared,
    poison,
    hold: () => (hold = true),
    release: () => {
      hold = false
      for (const { resolve } of pending.splice(0)) resolve()
    },
    breakDatabase: () => (unavailable = true),
    mostTogether: () => mostTogether,
  }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

test('group commit – deliveries of one turn share a transaction, each gets its own result', async (t) => {
  const { commit, groups } = controlled()
  const results = await Promise.all(['a', 'b', 'c'].map((name) => commit.submit({ name, weight: 1 })))
  t.deepEqual(results, ['settled a', 'settled b', 'settled c'])
  t.deepEqual(groups, [['a', 'b', 'c']])
})

test('group commit – while one transaction runs the next group gathers, up to its limit, never two at once', async (t) => {
  const { commit, groups, hold, release, mostTogether } = controlled({ maximumGroup: 5 })
  hold()
  const first = commit.submit({ name: 'first', weight: 1 })
  await turn()
  const others = ['a', 'b', 'c', 'd'].map((name) => commit.submit({ name, weight: 2 }))
  await turn()
  t.deepEqual(groups, [['first']])
  t.is(commit.waiting(), 8)
  release()
  await Promise.all([first, ...others])
  t.deepEqual(groups, [['first'], ['a', 'b'], ['c', 'd']])
  t.is(mostTogether(), 1)
  t.is(commit.waiting(), 0)
})

test('group commit – a full group is prepared while the one before it commits, a smaller one goes on gathering', async (t) => {
  const { commit, groups, prepared, hold, release } = controlled({ maximumGroup: 4 })
  hold()
  const first = commit.submit({ name: 'first', weight: 1 })
  await turn()
  const a = commit.submit({ name: 'a', weight: 2 })
  t.deepEqual(prepared, ['first'])
  const others = ['b', 'c', 'd'].map((name) => commit.submit({ name, weight: 2 }))
  t.deepEqual(prepared, ['first', 'a,b'])
  release()
  await Promise.all([first, a, ...others])
  t.deepEqual(groups, [['first'], ['a', 'b'], ['c', 'd']])
})

test('group commit – what cannot be prepared ahead fails alone and in its turn', async (t) => {
  const { commit, hold, release } = controlled({ maximumGroup: 2 })
  hold()
  const first = commit.submit({ name: 'first', weight: 1 })
  await turn()
  const others = ['a', 'unpreparable', 'b'].map((name) => commit.submit({ name, weight: 1 }))
  t.is(commit.waiting(), 3)
  release()
  const results = await Promise.allSettled([first, ...others])
  t.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    ['settled first', 'settled a', 'Error: cannot prepare unpreparable', 'settled b'],
  )
  t.is(commit.waiting(), 0)
})

test('group commit – a delivery heavier than a group is settled alone', async (t) => {
  const { commit, groups } = controlled({ maximumGroup: 5 })
  await Promise.all([commit.submit({ name: 'a', weight: 1 }), commit.submit({ name: 'heavy', weight: 50 })])
  t.deepEqual(groups, [['a'], ['heavy']])
})

test('group commit – a poison delivery fails alone, its neighbours are settled', async (t) => {
  const { commit, poison } = controlled()
  poison.add('b')
  const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => commit.submit({ name, weight: 1 })))
  t.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    ['settled a', 'Error: cannot settle b', 'settled c'],
  )
})

test('group commit – without a database all of a group fail at once, not one after the other', async (t) => {
  const { commit, groups, breakDatabase } = controlled()
  breakDatabase()
  const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => commit.submit({ name, weight: 1 })))
  t.true(results.every((result) => result.status === 'rejected' && result.reason.problem === 'dependency-unavailable'))
  t.is(groups.length, 1)
})

test('group commit – a full queue refuses with 503 and a time to come back; then goes on', async (t) => {
  const { commit, hold, release } = controlled({ maximumGroup: 2, maximumQueue: 4 })
  hold()
  const first = commit.submit({ name: 'first', weight: 2 })
  await turn()
  const waiting = [commit.submit({ name: 'a', weight: 2 }), commit.submit({ name: 'b', weight: 2 })]
  const refused = await t.throwsAsync(commit.submit({ name: 'c', weight: 1 }), { instanceOf: Problem })
  t.is(refused.status, 503)
  t.is(refused.retryAfterSeconds, 1)
  release()
  await Promise.all([first, ...waiting])
  t.is(await commit.submit({ name: 'd', weight: 1 }), 'settled d')
  await commit.idle()
})
