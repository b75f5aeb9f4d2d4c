import { randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { createBlindIndex } from './blind-index.ts'
import { normaliseContact, normaliseEmail, normalisePhone, parseContact } from './contact.ts'
import { maskContact, maskEmail, maskName, maskPhone } from './mask.ts'

test('e-mail – what people type in different ways is one address', (t) => {
  const same: [string, string][] = [
    ['  Ann.Lee@Example.COM ', 'ann.lee@example.com'],
    ['ann+shop@example.com', 'ann+shop@example.com'],
    // Composed and decomposed, and a domain in its own script.
    ['Ren\u0065\u0301@B\u00fccher.example', 'ren\u00e9@xn--bcher-kva.example'],
    ['ren\u00e9@xn--bcher-kva.example', 'ren\u00e9@xn--bcher-kva.example'],
    ['李@例子.中国', '李@xn--fsqu00a.xn--fiqs8s'],
  ]
  for (const [typed, normal] of same) t.is(normaliseEmail(typed), normal)
  for (const wrong of [
    '',
    'ann',
    '@example.com',
    'ann@',
    'ann@localhost',
    'ann@127.0.0.1',
    'a b@example.com',
    'ann@@example.com',
    '.ann@example.com',
    'ann@example..com',
    'ann@-example.com',
    'ann\u0000@example.com',
    `${'a'.repeat(65)}@example.com`,
    `a@${'b.'.repeat(130)}com`,
    'ann@example.com\nbcc: x@example.com',
    '\ud800@example.com',
  ])
    t.is(normaliseEmail(wrong), undefined, wrong)
})

test('telephone – E.164 whatever stands between the digits; without a country it is no number', (t) => {
  for (const typed of ['+49 170 1234567', '0049-170/1234567', '+49 (0)170 123.45.67', '＋49１７０1234567'])
    t.is(normalisePhone(typed), '+491701234567', typed)
  for (const wrong of ['', '0170 1234567', '+0170 1234567', '+49', '+4917012345678901', '+49 170 x', '+49'.repeat(30)])
    t.is(normalisePhone(wrong), undefined, wrong)
  t.deepEqual(parseContact('+49 170 1234567'), { kind: 'phone', value: '+491701234567' })
  t.deepEqual(parseContact('Ann@example.com'), { kind: 'email', value: 'ann@example.com' })
  t.is(parseContact('Ann'), undefined)
})

test('contacts – normalising twice is normalising once', (t) => {
  const typed = fc.oneof(
    fc.string(),
    fc.emailAddress(),
    fc.string({ unit: 'grapheme' }).map((name) => `${name}@Éx.example`),
  )
  fc.assert(
    fc.property(fc.constantFrom('email', 'phone'), typed, (kind, text) => {
      const once = normaliseContact(kind, text)
      return once === undefined || normaliseContact(kind, once) === once
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

test('blind index – equal values meet, within one tenant and kind alone, and while a key is rotated', (t) => {
  const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
  const [one, two] = [key('i1'), key('i2')]
  const before = createBlindIndex(one)
  const during = createBlindIndex(`${two},${one}`)
  const stored = before.of('email', 'acme', 'ann@example.com')
  t.is(stored, before.of('email', 'acme', 'ann@example.com'))
  t.regex(stored, /^i1\.[A-Za-z0-9_-]{43}$/)
  t.true(during.all('email', 'acme', 'ann@example.com').includes(stored))
  t.is(during.all('email', 'acme', 'ann@example.com')[0], during.of('email', 'acme', 'ann@example.com'))
  t.is(during.currentKeyId, 'i2')
  const others = [
    before.of('email', 'other', 'ann@example.com'),
    before.of('phone', 'acme', 'ann@example.com'),
    before.of('email', 'acme', 'bob@example.com'),
    createBlindIndex(key('i1')).of('email', 'acme', 'ann@example.com'),
    before.of('email', 'acm', 'eann@example.com'),
  ]
  t.is(new Set([stored, ...others]).size, 6)
})

test('masks – show enough to recognise and not enough to learn', (t) => {
  t.is(maskEmail('ann@example.com'), 'a***@e***.com')
  t.is(maskEmail('al@example.com'), '***@e***.com')
  t.is(maskEmail('nonsense'), '***')
  t.is(maskPhone('+491701234567'), '+49***67')
  t.is(maskPhone('nonsense'), '***')
  t.is(maskName('Ann  Lee'), 'A*** L***')
  t.is(maskName('李小龙'), '李***')
  t.is(maskName(' '), '')
  t.is(maskContact('phone', '+491701234567'), '+49***67')
})
