import test from 'ava'
import { filterOf, legacyFilter, type FilterExpression } from './filter.ts'

const event = { type: 'io.stampede.order.created.v1', source: '/functions/order', colour: '' }

const cases: [FilterExpression, boolean][] = [
  [{ exact: { type: 'io.stampede.order.created.v1' } }, true],
  [{ exact: { type: 'io.stampede.order.created' } }, false],
  [{ exact: { type: 'io.stampede.order.created.v1', source: '/functions/other' } }, false],
  [{ exact: { missing: '' } }, false],
  [{ prefix: { type: 'io.stampede.order.' } }, true],
  [{ prefix: { type: 'stampede' } }, false],
  [{ prefix: { missing: '' } }, false],
  [{ suffix: { type: '.v1' } }, true],
  [{ suffix: { type: '.v2' } }, false],
  [{ not: { suffix: { type: '.v2' } } }, true],
  [{ not: { exact: { missing: 'x' } } }, true],
  [{ all: [{ prefix: { type: 'io.' } }, { suffix: { type: '.v1' } }] }, true],
  [{ all: [{ prefix: { type: 'io.' } }, { suffix: { type: '.v2' } }] }, false],
  [{ any: [{ exact: { type: 'x' } }, { suffix: { type: '.v1' } }] }, true],
  [{ any: [{ exact: { type: 'x' } }, { exact: { type: 'y' } }] }, false],
  [{ not: { any: [{ exact: { type: 'x' } }, { all: [{ exact: { source: '/functions/order' } }] }] } }, false],
]
for (const [expression, passes] of cases) {
  test(`filterOf – ${JSON.stringify(expression)} ${passes ? 'passes' : 'holds back'}`, (t) => {
    t.is(filterOf([expression])(event), passes)
  })
}

test('filterOf – a list passes when each of its filters does', (t) => {
  t.true(filterOf([])(event))
  t.true(filterOf([{ prefix: { type: 'io.' } }, { prefix: { source: '/' } }])(event))
  t.false(filterOf([{ prefix: { type: 'io.' } }, { prefix: { source: 'x' } }])(event))
})

test('legacyFilter – an empty value asks for the attribute, any other for equality', (t) => {
  t.true(legacyFilter({})(event))
  t.true(legacyFilter({ source: '' })(event))
  t.true(legacyFilter({ colour: '' })(event))
  t.false(legacyFilter({ missing: '' })(event))
  t.true(legacyFilter({ source: '/functions/order', type: '' })(event))
  t.false(legacyFilter({ source: '/functions' })(event))
})
