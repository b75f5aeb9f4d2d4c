import { createHmac, randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { createHmacSha256 } from './hmac.ts'
import { createPasses, parsePassKeys, type PassClaims } from './pass.ts'

const key = (id: string) => ({ id, secret: randomBytes(32) })
const nowMs = 1_800_000_000_000
const claims = {
  tenantId: 'acme',
  userId: 'user-1',
  activityId: 'phone',
  device: 'device-1',
  sessionId: 'session-1',
  issuedAtMs: nowMs - 1_000,
  expiresAtMs: nowMs + 60_000,
}
/** As somebody that access is asked about. */
const holder = (given: PassClaims) => ({ kind: 'user', roles: [], sessionId: undefined, ...given })

test('HMAC – equals createHmac for any key and message', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { minLength: 1, maxLength: 5 }),
      (secret, messages) => {
        const mac = createHmacSha256(secret)
        for (const message of messages) {
          t.is(mac(message), createHmac('sha256', secret).update(message).digest('base64url'))
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('HMAC – refuses a message that is longer than it was made for', (t) => {
  const mac = createHmacSha256(randomBytes(32), 10)
  t.throws(() => mac('x'.repeat(11)), { instanceOf: RangeError })
  t.throws(() => mac('ääääää'), { instanceOf: RangeError }, '12 bytes in 6 characters')
  t.throws(() => mac('xxxxxxxxxä'), { instanceOf: RangeError }, 'cut within its last character')
  t.is(mac('äääää').length, 43)
})

test('pass – gives back what was issued', (t) => {
  const passes = createPasses({ keys: [key('k1')], now: () => nowMs })
  t.deepEqual(passes.verify(passes.issue(claims), 'phone', 'device-1'), holder(claims))
  const unbound = { ...claims, device: '' }
  t.deepEqual(passes.verify(passes.issue(unbound), 'phone', 'device-2'), holder(unbound))
  t.deepEqual(passes.verify(passes.issue(claims), 'phone'), holder(claims), 'no device is asked for')
  const { sessionId: _session, ...withoutSession } = claims
  t.deepEqual(passes.verify(passes.issue(withoutSession), 'phone', 'device-1'), holder(withoutSession))
})

test('pass – every set of claims survives', (t) => {
  const identifier = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
  const passes = createPasses({ keys: [key('k1')], now: () => 0 })
  fc.assert(
    fc.property(
      fc.record({
        tenantId: identifier,
        userId: identifier,
        activityId: identifier,
        device: fc.oneof(identifier, fc.constant('')),
        sessionId: fc.option(identifier, { nil: undefined }),
        issuedAtMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        expiresAtMs: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      }),
      (given) => t.deepEqual(passes.verify(passes.issue(given), given.activityId, given.device), holder(given)),
    ),
    { numRuns: 200 },
  )
})

test('pass – is refused for another activity, another device, and after its expiry', (t) => {
  let clockMs = nowMs
  const passes = createPasses({ keys: [key('k1')], now: () => clockMs })
  const token = passes.issue(claims)
  t.is(passes.verify(token, 'tablet'), undefined)
  t.is(passes.verify(token, 'phone', 'device-2'), undefined)
  clockMs = claims.expiresAtMs - 1
  t.truthy(passes.verify(token, 'phone'))
  clockMs = claims.expiresAtMs
  t.is(passes.verify(token, 'phone'), undefined)
})

test('pass – is refused when any character is changed, removed or added', (t) => {
  const passes = createPasses({ keys: [key('k1'), key('k2')], now: () => nowMs })
  const token = passes.issue(claims)
  for (let index = 0; index < token.length; index++) {
    for (const other of ['A', 'B', '~', '.', '2', '']) {
      const changed = token.slice(0, index) + other + token.slice(index + 1)
      if (changed !== token) t.is(passes.verify(changed, 'phone', 'device-1'), undefined, changed)
    }
    const longer = `${token.slice(0, index)}x${token.slice(index)}`
    t.is(passes.verify(longer, 'phone', 'device-1'), undefined, longer)
  }
})

test('pass – rubbish is refused and never throws', (t) => {
  const passes = createPasses({ keys: [key('k1')], now: () => nowMs })
  const token = passes.issue(claims)
  const rubbish = [
    '',
    'v2.',
    'v2..',
    'v2.k1',
    'v2.k1.',
    'v2.k1..',
    '.'.repeat(50),
    `v1${token.slice(2)}`,
    `${token}${'a'.repeat(1_000)}`,
    `v2.k9.${token.slice(6)}`,
  ]
  for (const text of rubbish) t.is(passes.verify(text, 'phone'), undefined, text)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) =>
      t.is(passes.verify(`v2.k1.${text}`, 'phone'), undefined),
    ),
  )
  // A character outside Latin-1 whose low byte is the right one must not count as the right one.
  const wide = token.slice(0, -1) + String.fromCodePoint(0x100 + token.charCodeAt(token.length - 1))
  t.is(passes.verify(wide, 'phone'), undefined)
  const wideClaim = token.replace('user-1', `user-${String.fromCodePoint(0x131)}`)
  t.is(passes.verify(wideClaim, 'phone'), undefined)
})

test('pass – keys rotate: the first signs, both are valid, a dropped one is not', (t) => {
  const [old, fresh] = [key('old'), key('new')]
  const before = createPasses({ keys: [old], now: () => nowMs })
  const during = createPasses({ keys: [fresh, old], now: () => nowMs })
  const after = createPasses({ keys: [fresh], now: () => nowMs })
  const early = before.issue(claims)
  const late = during.issue(claims)
  t.true(late.startsWith('v2.new.'))
  t.truthy(during.verify(early, 'phone'))
  t.truthy(during.verify(late, 'phone'))
  t.truthy(after.verify(late, 'phone'))
  t.is(after.verify(early, 'phone'), undefined)
})

test('pass – a claim that could be read as two is not issued', (t) => {
  const passes = createPasses({ keys: [key('k1')], now: () => nowMs })
  for (const userId of ['', 'a~b', 'a.b', 'ä', 'x'.repeat(65)])
    t.throws(() => passes.issue({ ...claims, userId }), { instanceOf: TypeError })
  for (const sessionId of ['', 'a~b']) t.throws(() => passes.issue({ ...claims, sessionId }), { instanceOf: TypeError })
  t.throws(() => passes.issue({ ...claims, expiresAtMs: 1.5 }), { instanceOf: TypeError })
  t.throws(() => passes.issue({ ...claims, issuedAtMs: -1 }), { instanceOf: TypeError })
})

test('pass – of the longest claims can be carried', (t) => {
  const long = 'x'.repeat(64)
  const passes = createPasses({ keys: [{ id: 'k'.repeat(16), secret: randomBytes(32) }], now: () => 0 })
  const times = { issuedAtMs: Number.MAX_SAFE_INTEGER, expiresAtMs: Number.MAX_SAFE_INTEGER }
  const given = { tenantId: long, userId: long, activityId: long, device: long, sessionId: long, ...times }
  t.deepEqual(passes.verify(passes.issue(given), long, long), holder(given))
})

test('pass keys – are read from text; short and double ones are refused', (t) => {
  const secret = randomBytes(32)
  t.deepEqual(parsePassKeys(`a:${secret.toString('base64')}, b:${secret.toString('base64')}`), [
    { id: 'a', secret },
    { id: 'b', secret },
  ])
  t.throws(() => parsePassKeys('abc'), { instanceOf: TypeError })
  t.throws(() => createPasses({ keys: [{ id: 'a', secret: randomBytes(16) }], now: () => 0 }), { message: /shorter/ })
  t.throws(() => createPasses({ keys: [key('a'), key('a')], now: () => 0 }), { message: /twice/ })
  t.throws(() => createPasses({ keys: [], now: () => 0 }))
})
