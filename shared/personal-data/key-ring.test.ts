import { randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { createKeyRing, SealError, type SealContext } from './key-ring.ts'
import { keysVariable, parseKeys } from './keys.ts'

const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const [one, two] = [key('k1'), key('k2')]
const oldRing = createKeyRing(one)
const bothRings = createKeyRing(`${two},${one}`)
const newRing = createKeyRing(two)
const context: SealContext = { tenantId: 'acme', table: 'user_users', column: 'email', rowId: 'u-1' }

const text = fc.string({ unit: 'grapheme', maxLength: 200 })
const name = fc.string({ maxLength: 20 })
const anyContext: fc.Arbitrary<SealContext> = fc.record({ tenantId: name, table: name, column: name, rowId: name })
const reasonOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return error instanceof SealError ? error.reason : `not a SealError: ${String(error)}`
  }
  return 'opened'
}

test('seal – any text opens again in its place, and looks different each time', (t) => {
  fc.assert(
    fc.property(text, anyContext, (plain, place) => {
      const sealed = oldRing.seal(plain, place)
      return (
        oldRing.open(sealed, place) === plain &&
        sealed !== oldRing.seal(plain, place) &&
        oldRing.keyIdOf(sealed) === 'k1'
      )
    }),
  )
  t.pass()
})

test('seal – a text that would not come back the same is not sealed', (t) => {
  t.throws(() => oldRing.seal('\ud800', context), { instanceOf: TypeError })
  t.throws(() => oldRing.seal('x'.repeat(70_000), context), { instanceOf: RangeError })
})

test('open – a value that was moved to another tenant, table, column or row is refused', (t) => {
  fc.assert(
    fc.property(anyContext, anyContext, (place, other) => {
      fc.pre(JSON.stringify(place) !== JSON.stringify(other))
      return reasonOf(() => oldRing.open(oldRing.seal('Ann', place), other)) === 'refused'
    }),
  )
  for (const change of [{ tenantId: 'other' }, { table: 'x' }, { column: 'phone' }, { rowId: 'u-2' }]) {
    t.is(
      reasonOf(() => oldRing.open(oldRing.seal('Ann', context), { ...context, ...change })),
      'refused',
    )
  }
  // The parts of a place cannot run into each other.
  const place = { ...context, table: 'a', column: 'bc' }
  t.is(
    reasonOf(() => oldRing.open(oldRing.seal('Ann', place), { ...context, table: 'ab', column: 'c' })),
    'refused',
  )
})

test('open – any character that was changed, left out or added is refused', (t) => {
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ '.split('')
  const ring = createKeyRing(`${one},${two}`)
  fc.assert(
    fc.property(text, fc.nat(), fc.constantFrom(...characters), (plain, position, character) => {
      const sealed = ring.seal(plain, context)
      const at = position % sealed.length
      fc.pre(sealed[at] !== character)
      const changed = sealed.slice(0, at) + character + sealed.slice(at + 1)
      const shorter = sealed.slice(0, at) + sealed.slice(at + 1)
      const longer = sealed.slice(0, at) + character + sealed.slice(at)
      return [changed, shorter, longer].every((other) => reasonOf(() => ring.open(other, context)) !== 'opened')
    }),
    { numRuns: 500 },
  )
  // Every place once, with every character: also the bits that base64 does not use.
  const sealed = ring.seal('Ann Lee', context)
  for (let at = 0; at < sealed.length; at++) {
    for (const character of characters) {
      if (sealed[at] === character) continue
      const changed = sealed.slice(0, at) + character + sealed.slice(at + 1)
      t.not(
        reasonOf(() => ring.open(changed, context)),
        'opened',
        `${at} ${character}`,
      )
    }
  }
})

test('open – parts of two values do not make a third', (t) => {
  const [mine, yours] = [oldRing.seal('mine', context).split('.'), oldRing.seal('yours', context).split('.')]
  for (let part = 2; part < mine.length; part++) {
    const mixed = mine.with(part, yours[part]!).join('.')
    t.is(
      reasonOf(() => oldRing.open(mixed, context)),
      'refused',
    )
  }
})

test('open – anything that is no sealed value is malformed', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        fc.array(name, { maxLength: 8 }).map((parts) => ['v1', ...parts].join('.')),
      ),
      (other) => ['malformed', 'unknown-key'].includes(reasonOf(() => oldRing.open(other, context))),
    ),
  )
  t.is(
    reasonOf(() => oldRing.open(`v1.k1.${'A'.repeat(200_000)}`, context)),
    'malformed',
  )
})

test('rotation – values of the old key open with both keys, are wrapped again, and then need the new one alone', (t) => {
  const sealed = oldRing.seal('Ann', context)
  t.is(bothRings.open(sealed, context), 'Ann')
  t.is(
    reasonOf(() => newRing.open(sealed, context)),
    'unknown-key',
  )
  const again = bothRings.rewrap(sealed, context)
  t.is(bothRings.keyIdOf(again), 'k2')
  t.is(newRing.open(again, context), 'Ann')
  t.is(bothRings.rewrap(again, context), again)
  // Only the data key was wrapped again.
  t.deepEqual(again.split('.').slice(3), sealed.split('.').slice(3))
  t.is(
    reasonOf(() => bothRings.rewrap(sealed, { ...context, rowId: 'u-2' })),
    'refused',
  )
  t.is(
    reasonOf(() => newRing.rewrap(sealed, context)),
    'unknown-key',
  )
})

test('record key – opens what it sealed, in its place; a rotation wraps it again and touches nothing else', (t) => {
  const place = { ...context, column: 'data_key' }
  const recordKey = oldRing.newRecordKey(place)
  const sealed = oldRing.openRecord(recordKey, place).seal('Ann', context)
  const again = bothRings.rewrap(recordKey, place)
  t.is(newRing.keyIdOf(again), 'k2')
  const record = newRing.openRecord(again, place)
  t.is(record.open(sealed, context), 'Ann')
  t.is(
    reasonOf(() => record.open(sealed, { ...context, column: 'phone' })),
    'refused',
  )
  t.is(
    reasonOf(() => newRing.openRecord(again, { ...place, rowId: 'u-2' })),
    'refused',
  )
  const otherRecord = oldRing.openRecord(oldRing.newRecordKey(place), place)
  t.is(
    reasonOf(() => otherRecord.open(sealed, context)),
    'refused',
  )
  // One kind is not the other.
  for (const work of [
    () => newRing.open(again, place),
    () => newRing.openRecord(newRing.seal('Ann', place), place),
    () => record.open(newRing.seal('Ann', context), context),
  ])
    t.is(reasonOf(work), 'malformed')
})

test('keys – what is wrong is said without the key', (t) => {
  const good = randomBytes(32).toString('base64')
  const wrong: [string, RegExp][] = [
    ['', /has no key/],
    [good, /key 1 has no id/],
    [`a b:${good}`, /the id of key 1/],
    ['k1:not base64!', /key "k1" is not base64/],
    [`k1:${randomBytes(16).toString('base64')}`, /key "k1" has 16 bytes instead of 32/],
    [`k1:${Buffer.alloc(32).toString('base64')}`, /key "k1" is not random/],
    [`${key('k1')},${key('k1')}`, /two keys with the id "k1"/],
    [`k1:${good},k2:${good}`, /same key under the ids "k1" and "k2"/],
    [Array.from({ length: 17 }, (_, index) => key(`k${index}`)).join(','), /17 keys, more than 16/],
  ]
  for (const [given, message] of wrong) {
    const error = t.throws(() => createKeyRing(given), { instanceOf: TypeError, message })
    t.false(error.message.includes(good))
    t.regex(keysVariable.safeParse(given).error?.issues[0]?.message ?? '', message)
  }
  t.deepEqual(
    parseKeys(` k1:${good} , ${key('k-2_b')},`).map(({ id }) => id),
    ['k1', 'k-2_b'],
  )
})
