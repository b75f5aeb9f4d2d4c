/** A whole sale over real HTTP: what is sold is exactly what there was, whoever presses at the same time. */
import test from 'ava'
import type { SaleDefinition } from '@stampede/shared/sale/types.ts'
import { startStage, type Answer, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  // The machine may be busy with other tests: an answer late by seconds would be a true one, but not the one that is counted here.
  stage = await startStage({ DECISION_TIMEOUT_MS: '60000' })
})
test.after.always(() => stage.stop())

type Press = { userId: string; quantity: number; answer: Answer }

/** Presses with at most 200 under way. */
async function pressAll(
  activityId: string,
  presses: readonly { userId: string; quantity: number }[],
): Promise<Press[]> {
  const done: Press[] = []
  const rest = [...presses]
  const worker = async () => {
    for (let press = rest.pop(); press; press = rest.pop()) {
      done.push({ ...press, answer: await stage.press(activityId, press.userId, { quantity: press.quantity }) })
    }
  }
  await Promise.all(Array.from({ length: 200 }, worker))
  return done
}

async function totals(sale: SaleDefinition) {
  let left = 0
  let sold = 0
  for (let bucket = 0; bucket < sale.buckets; bucket++) {
    const snapshot = await stage.store.snapshot({ ...sale, bucket })
    left += snapshot!.left
    sold += snapshot!.sold
  }
  return { left, sold }
}

const wonBy = (presses: readonly Press[]): Map<string, number> => {
  const won = new Map<string, number>()
  for (const { userId, quantity, answer } of presses) {
    if (answer.status === 202) won.set(userId, (won.get(userId) ?? 0) + quantity)
  }
  return won
}
const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0)

for (const buckets of [1, 4]) {
  test(`sale – 2,000 presses of 1,500 buyers, limit 1, 500 units, ${buckets} bucket(s): sells exactly 500, one each`, async (t) => {
    const sale = await stage.sale({ stock: 500, buckets })
    const presses = await pressAll(
      sale.activityId,
      Array.from({ length: 2_000 }, (_, index) => ({ userId: `user-${index % 1_500}`, quantity: 1 })),
    )
    const won = wonBy(presses)
    t.is(won.size, 500)
    t.true([...won.values()].every((units) => units === 1))
    t.deepEqual(await totals(sale), { left: 0, sold: 500 })
    const statuses = new Set(presses.map(({ answer }) => answer.status))
    t.deepEqual(
      [...statuses].sort((a, b) => a - b),
      [202, 409, 410],
    )
    const numbers = presses
      .filter(({ answer }) => answer.status === 202)
      .map(({ answer }) => answer.body['orderNumber'])
    t.is(new Set(numbers).size, 500)
  })

  test(`sale – 2,000 presses, limit 3, quantities 1 to 3, ${buckets} bucket(s): sells exactly the stock, nobody above the limit`, async (t) => {
    const sale = await stage.sale({ stock: 700, perUserLimit: 3, buckets })
    const presses = await pressAll(
      sale.activityId,
      Array.from({ length: 2_000 }, (_, index) => ({ userId: `user-${(index * 7) % 600}`, quantity: 1 + (index % 3) })),
    )
    const won = wonBy(presses)
    t.is(sum(won.values()), 700)
    t.true([...won.values()].every((units) => units <= 3))
    t.deepEqual(await totals(sale), { left: 0, sold: 700 })
  })
}

test('sale – sold out: a winner who presses again is told the order number, from memory too', async (t) => {
  const sale = await stage.sale({ stock: 20, buckets: 2 })
  const winners = await pressAll(
    sale.activityId,
    Array.from({ length: 60 }, (_, index) => ({ userId: `user-${index}`, quantity: 1 })),
  )
  const numbers = new Map(
    winners
      .filter(({ answer }) => answer.status === 202)
      .map((press) => [press.userId, press.answer.body['orderNumber']]),
  )
  t.is(numbers.size, 20)
  const decidedInMemory = async () => {
    const text = await (await fetch(`${stage.url}/metrics`)).text()
    return Number(/stampede_seckill_decisions_total\{.*by="memory".*\} (\d+)/.exec(text)?.[1] ?? 0)
  }
  const before = await decidedInMemory()
  const untilMs = Date.now() + 10_000
  let again: Press[] = []
  // The poll finds that nothing is left and loads the winners; from then on Redis is not asked.
  while (Date.now() < untilMs && (await decidedInMemory()) < before + 60) {
    again = await pressAll(
      sale.activityId,
      Array.from({ length: 60 }, (_, index) => ({ userId: `user-${index}`, quantity: 1 })),
    )
    for (const { userId, answer } of again) {
      if (numbers.has(userId)) t.deepEqual([answer.status, answer.body['orderNumber']], [409, numbers.get(userId)])
      else t.deepEqual([answer.status, answer.body['code']], [410, 'sold-out'])
    }
  }
  t.true((await decidedInMemory()) >= before + 60)
})

test('sale – sold out, then a cancelled order: its unit is sold again, and its buyer may buy again', async (t) => {
  const sale = await stage.sale({ stock: 1 })
  const first = await stage.press(sale.activityId, 'ann')
  t.is(first.status, 202)
  const untilMs = Date.now() + 3_000
  while (Date.now() < untilMs) t.is((await stage.press(sale.activityId, 'bob')).status, 410)
  const cancelled = {
    tenantId: sale.tenantId,
    activityId: sale.activityId,
    orders: [{ orderNumber: first.body['orderNumber'], userId: 'ann', quantity: 1, reason: 'payment-timeout' }],
  }
  for (let delivery = 0; delivery < 3; delivery++) {
    t.true((await stage.event('io.stampede.order.cancelled.v1', cancelled)) < 300)
  }
  t.deepEqual(await totals(sale), { left: 1, sold: 0 })
  t.is((await stage.press(sale.activityId, 'ann')).status, 202)
  t.deepEqual(await totals(sale), { left: 0, sold: 1 })
})

// Alone, so that there is a press in the window at all.
test.serial('sale – opens and ends by the clock of Redis while buyers press', async (t) => {
  const clock = async (sale: SaleDefinition) => (await stage.store.snapshot({ ...sale, bucket: 0 }))!.nowMs
  const startsAtMs = (await clock(await stage.sale())) + 1_000
  const endsAtMs = startsAtMs + 1_000
  const sale = await stage.sale({ stock: 10_000, startsAtMs, endsAtMs })
  const seen = new Set<number>()
  for (let user = 0; !seen.has(410); user++) {
    const before = await clock(sale)
    const answer = await stage.press(sale.activityId, `user-${user}`)
    const after = await clock(sale)
    seen.add(answer.status)
    if (answer.status === 425) t.true(before < startsAtMs)
    else if (answer.status === 202) t.true(after >= startsAtMs && before < endsAtMs)
    else t.true(answer.status === 410 && after >= endsAtMs, String(answer.status))
    if (seen.size === 3) break
    if (before > endsAtMs + 10_000) break
  }
  t.deepEqual(
    [...seen].sort((a, b) => a - b),
    [202, 410, 425],
  )
})
