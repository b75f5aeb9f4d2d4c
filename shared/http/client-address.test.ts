import test from 'ava'
import { addressGroup, clientAddress, isInside, parseAddress, parseRange, trustedProxies } from './client-address.ts'

const trusted = trustedProxies.parse('10.0.0.0/8, fd00::/8, 192.0.2.1')
const caller = (peer: string, forwardedFor?: string) => clientAddress(peer, forwardedFor, trusted)?.toString()

for (const text of [
  '',
  'unknown',
  '1',
  '0x7f000001',
  '127.1',
  '1.2.3.4.5',
  '256.1.1.1',
  'a::b::c',
  '1.2.3.4/8',
  'here',
]) {
  test(`address – "${text}" is none`, (t) => {
    t.is(parseAddress(text), undefined)
    t.is(caller('10.0.0.1', `198.51.100.1, ${text === '' ? ' ' : text}`), undefined)
  })
}

test('address – IPv4 in IPv6 is IPv4, and a scope is left out', (t) => {
  t.is(parseAddress('::ffff:203.0.113.9')?.toString(), '203.0.113.9')
  t.is(parseAddress('::ffff:cb00:7109')?.toString(), '203.0.113.9')
  t.is(parseAddress('fe80::1%eth0')?.toString(), 'fe80::1')
})

test('range – of IPv4 as of IPv6, one address, and IPv4 that is written as IPv6', (t) => {
  const within = (range: string, address: string) => isInside(parseAddress(address)!, [parseRange(range)!])
  t.true(within('203.0.113.0/24', '::ffff:203.0.113.9'))
  t.true(within('::ffff:203.0.113.0/120', '203.0.113.9'))
  t.false(within('::ffff:203.0.113.0/120', '203.0.112.9'))
  t.true(within('2001:db8:1::/48', '2001:DB8:1::9'))
  t.false(within('2001:db8:1::/48', '203.0.113.9'))
  t.true(within('192.0.2.1', '192.0.2.1'))
  t.false(within('192.0.2.1', '192.0.2.2'))
  for (const text of ['', 'proxy.example', '10.0.0.0/33', '10.0.0.0/', '10/8', '10.1/16', '::/129'])
    t.is(parseRange(text), undefined, text)
})

test('caller – is the connection when nobody is trusted, whatever a header says', (t) => {
  t.is(clientAddress('203.0.113.9', '198.51.100.1', [])?.toString(), '203.0.113.9')
  t.is(caller('203.0.113.9', '198.51.100.1'), '203.0.113.9')
})

test('caller – is the nearest that is not a trusted proxy', (t) => {
  t.is(caller('10.1.2.3', '198.51.100.1'), '198.51.100.1')
  // The client wrote the first one itself.
  t.is(caller('10.1.2.3', '1.1.1.1, 198.51.100.1, 192.0.2.1'), '198.51.100.1')
  t.is(caller('::ffff:10.0.0.1', '192.0.2.9,2001:db8::7, fd00::2'), '2001:db8::7')
  t.is(caller('10.0.0.1', '192.0.2.7:4711'), '192.0.2.7')
  t.is(caller('10.0.0.1', '[2001:db8::7]:4711'), '2001:db8::7')
})

test('caller – is the farthest when all are trusted: a caller of our own network, or a proxy that does not say for whom', (t) => {
  t.is(caller('10.0.0.1', '10.0.0.3, 10.0.0.2'), '10.0.0.3')
  t.is(caller('10.0.0.1'), '10.0.0.1')
  t.is(caller('10.0.0.1', ''), '10.0.0.1')
})

test('caller – cannot hide behind what it writes itself, however long it is', (t) => {
  t.is(caller('10.0.0.1', `${'nonsense, '.repeat(10_000)}198.51.100.1`), '198.51.100.1')
  t.is(caller('10.0.0.1', `${','.repeat(10_000)}198.51.100.1, 10.0.0.2`), '198.51.100.1')
})

test('caller – is not known when the connection is gone, or behind proxies without an end', (t) => {
  t.is(caller('', '198.51.100.1'), undefined)
  t.is(caller('10.0.0.1', Array.from({ length: 30 }, () => '10.0.0.1').join()), undefined)
  t.is(caller('10.0.0.1', Array.from({ length: 20 }, () => '10.0.0.1').join()), '10.0.0.1')
})

test('group – addresses of one customer’s /64 are one, IPv4 is for itself', (t) => {
  const group = (text: string) => addressGroup(parseAddress(text)!)
  t.is(group('2001:db8:1:2:3::4'), '2001:db8:1:2::/64')
  t.is(group('2001:db8:1:2:3::4'), group('2001:db8:1:2:ffff::9'))
  t.not(group('2001:db8:1:2::'), group('2001:db8:1:3::'))
  t.is(group('::ffff:198.51.100.1'), '198.51.100.1')
})

test('TRUSTED_PROXIES – a mistake is named', (t) => {
  const result = trustedProxies.safeParse('10.0.0.0/8, proxy.example')
  t.regex(result.error?.issues[0]?.message ?? '', /"proxy\.example"/)
  t.false(trustedProxies.safeParse('10.0.0.0/33').success)
  t.deepEqual(trustedProxies.parse(undefined), [])
})
