import test from 'ava'
import { chosenFunctions } from './chosen.ts'
import { functions } from './index.ts'

test('collection – runs all functions, or those that FUNCTIONS names', (t) => {
  t.is(chosenFunctions(functions, undefined), functions)
  t.is(chosenFunctions(functions, ' '), functions)
  t.deepEqual(
    chosenFunctions(functions, 'order, activity').map(({ name }) => name),
    ['activity', 'order'],
  )
})

test('collection – a name that FUNCTIONS has wrong is told', (t) => {
  t.throws(() => chosenFunctions(functions, 'order,ordr'), {
    message: /^FUNCTIONS names ordr, which is not among activity, /,
  })
})
