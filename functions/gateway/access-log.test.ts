import test from 'ava'
import { maskAddress } from './access-log.ts'

test('access log – says from which network, not from which address', (t) => {
  for (const [address, masked] of [
    ['203.0.113.7', '203.0.113.0'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::'],
    ['2001:db8:1::6', '2001:db8:1::'],
    ['2001:db8::7', '2001:db8::'],
    ['2001::5:7', '2001::'],
    ['::1', '::'],
    ['unknown', 'unknown'],
    [undefined, undefined],
  ] as const) {
    t.is(maskAddress(address), masked)
  }
})
