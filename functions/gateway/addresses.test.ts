import test from 'ava'
import { createAddressRules, type AddressSettings } from './addresses.ts'

const rules = (settings: Partial<AddressSettings> = {}) =>
  createAddressRules({ allow: [], deny: [], trustedProxies: [], operators: [], ...settings })

test('addresses – IPv4 in IPv6 is refused as IPv4', (t) => {
  const { know } = rules({ deny: ['203.0.113.0/24'] })
  t.like(know('::ffff:203.0.113.9'), { text: '203.0.113.9', party: '203.0.113.9', refused: true })
  t.like(know('203.0.114.9'), { refused: false })
})

test('addresses – IPv6 counts together by its /64, and ranges match', (t) => {
  const { know } = rules({ deny: ['2001:db8:1::/48'] })
  t.like(know('2001:db8:1:2:3:4:5:6'), { party: '2001:db8:1:2::/64', refused: true })
  t.like(know('2001:DB8:2::1'), { text: '2001:db8:2::1', party: '2001:db8:2:0::/64', refused: false })
})

test('addresses – with an allow list everybody else is refused, and deny goes before it', (t) => {
  const { know } = rules({ allow: ['10.0.0.0/8', '::1'], deny: ['10.9.0.0/16'] })
  t.false(know('10.1.2.3')!.refused)
  t.false(know('::1')!.refused)
  t.true(know('10.9.2.3')!.refused)
  t.true(know('11.1.2.3')!.refused)
})

test('addresses – what is none is not known', (t) => {
  t.is(rules().know('localhost'), undefined)
})

test('caller – what a client says of itself counts for nothing', (t) => {
  t.is(rules().callerOf('198.51.100.1', '10.0.0.1').text, '198.51.100.1')
})

test('caller – is judged behind its proxies', (t) => {
  const { callerOf } = rules({ trustedProxies: ['10.0.0.0/8'], deny: ['192.0.2.0/24'] })
  t.like(callerOf('10.0.0.1', '198.51.100.1, 192.0.2.7, 10.0.0.2'), { text: '192.0.2.7', refused: true })
  t.like(callerOf('10.0.0.1', `192.0.2.7, ${'nonsense,'.repeat(10_000)}198.51.100.1`), { refused: false })
})

test('caller – one whom nobody knows is refused', (t) => {
  const { callerOf } = rules({ trustedProxies: ['10.0.0.0/8'] })
  t.like(callerOf('10.0.0.1', '192.0.2.7, nonsense'), { text: 'unknown', refused: true })
  t.true(callerOf('', '192.0.2.7').refused)
})
