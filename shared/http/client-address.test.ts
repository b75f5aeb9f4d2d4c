import test from 'ava'
import { createClientAddress } from './client-address.ts'

test('the client’s address – is the connection’s when nobody is trusted, whatever a header says', (t) => {
  const addressOf = createClientAddress('')
  t.is(addressOf('203.0.113.9', '198.51.100.1'), '203.0.113.9')
  t.is(addressOf('::ffff:203.0.113.9', undefined), '203.0.113.9')
})

test('the client’s address – is the nearest that is not a trusted proxy', (t) => {
  const addressOf = createClientAddress('10.0.0.0/8, fd00::/8, 192.0.2.1')
  t.is(addressOf('10.1.2.3', '198.51.100.1'), '198.51.100.1')
  // The client wrote the first one itself.
  t.is(addressOf('10.1.2.3', '1.1.1.1, 198.51.100.1, 192.0.2.1'), '198.51.100.1')
  t.is(addressOf('203.0.113.9', '1.1.1.1'), '203.0.113.9')
  t.is(addressOf('fd00::1', '2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  t.is(addressOf('10.1.2.3', '10.9.9.9'), '10.9.9.9')
  t.is(addressOf('10.1.2.3', undefined), '10.1.2.3')
})

test('the client’s address – is unknown when a trusted proxy says something else', (t) => {
  const addressOf = createClientAddress('10.0.0.0/8')
  for (const text of [
    'unknown',
    '',
    '1',
    '0x7f000001',
    '1.1.1.1, _hidden',
    Array.from({ length: 30 }, () => '10.0.0.1').join(),
  ])
    t.is(addressOf('10.0.0.1', text), '', text)
  t.is(addressOf('', undefined), '')
})

test('the client’s address – addresses of one customer’s /64 are one', (t) => {
  const addressOf = createClientAddress('')
  t.is(addressOf('2001:db8::1', undefined), addressOf('2001:db8::ffff:1', undefined))
  t.not(addressOf('2001:db8::1', undefined), addressOf('2001:db8:0:1::1', undefined))
})

test('createClientAddress – names the block that is none', (t) => {
  t.throws(() => createClientAddress('10.0.0.0/8, here'), { instanceOf: TypeError, message: /"here"/ })
  t.throws(() => createClientAddress('10.0.0.0/99'), { instanceOf: TypeError })
})
