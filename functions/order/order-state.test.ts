import test from 'ava'
import { holdsStock, isFinal, mayChange, orderStates, orderTransitions, type OrderActor } from './order-state.ts'

const actors: OrderActor[] = ['payment', 'schedule', 'buyer', 'staff', 'logistics']

test('order life – every transition that is allowed, and no other', (t) => {
  const allowed = orderStates.flatMap((from) =>
    orderStates.flatMap((to) => {
      const by = actors.filter((actor) => mayChange(from, to, actor))
      return by.length > 0 ? [`${from} → ${to}: ${by.join(', ')}`] : []
    }),
  )
  t.deepEqual(allowed, [
    'pending-payment → paid: payment',
    'pending-payment → cancelled: schedule, buyer, staff',
    'paid → shipped: staff, logistics',
    'paid → refunding: buyer, staff',
    'shipped → delivered: staff, logistics',
    'shipped → refunding: staff',
    'delivered → completed: schedule, buyer',
    'delivered → refunding: buyer, staff',
    'completed → refunding: staff',
    'refunding → paid: staff',
    'refunding → refunded: payment',
  ])
})

test('order life – only cancelled and refunded orders are final and hold no stock', (t) => {
  t.deepEqual(orderStates.filter(isFinal), ['cancelled', 'refunded'])
  t.deepEqual(
    orderStates.filter((state) => !holdsStock(state)),
    ['cancelled', 'refunded'],
  )
})

test('order life – every state can be reached from pending-payment', (t) => {
  const reached = new Set<string>(['pending-payment'])
  for (const state of reached) for (const to of Object.keys(orderTransitions[state as 'paid'])) reached.add(to)
  t.is(reached.size, orderStates.length)
})
