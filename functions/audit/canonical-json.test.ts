import test from 'ava'
import * as fc from 'fast-check'
import { canonicalJson, type Json } from './canonical-json.ts'

test('canonical JSON – the example of RFC 8785', (t) => {
  const value = JSON.parse(
    String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
  ) as Json
  t.is(
    canonicalJson(value),
    String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
  )
})

test('canonical JSON – members are sorted by UTF-16 units, as RFC 8785 has it', (t) => {
  const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
  t.deepEqual(
    [...canonicalJson(value).matchAll(/:(\d)/g)].map(([, number]) => Number(number)),
    [2, 4, 6, 7, 1, 5, 3],
  )
})

test('canonical JSON – says the same as before, whatever the order of the members', (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = canonicalJson(value as Json)
      const mirrored = JSON.parse(text, (_name, member: unknown) =>
        typeof member === 'object' && member !== null && !Array.isArray(member)
          ? Object.fromEntries(Object.entries(member).toReversed())
          : member,
      ) as Json
      return canonicalJson(mirrored) === text && JSON.stringify(JSON.parse(text)) !== undefined
    }),
  )
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { '\udfff': 1 }, undefined, [undefined]])
    t.throws(() => canonicalJson(wrong as Json), { instanceOf: TypeError })
})
