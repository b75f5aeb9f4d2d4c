import test from 'ava'
import ipaddr from 'ipaddr.js'
import { addressGroup as groupOf } from '@stampede/shared/http/client-address.ts'
import { callerAddress, trustedProxies } from './address.ts'

const addressGroup = (text: string) => groupOf(ipaddr.process(text))

const trusted = trustedProxies.parse('10.0.0.0/8, 127.0.0.1, fd00::/8')
const caller = (remote: string, forwarded?: string) =>
  callerAddress(remote, forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }, trusted)

test('address – the nearest that is no trusted proxy; what others claim is not believed', (t) => {
  t.is(caller('203.0.113.9', '198.51.100.1'), '203.0.113.9')
  t.is(caller('127.0.0.1', '198.51.100.1'), '198.51.100.1')
  t.is(caller('::ffff:127.0.0.1', '1.2.3.4, 198.51.100.1, 10.1.2.3'), '198.51.100.1')
  t.is(caller('fd00::1', '2001:db8::7'), '2001:db8::7')
  t.is(caller('10.0.0.1'), undefined)
  t.is(caller('10.0.0.1', 'nonsense'), undefined)
  t.is(caller('', undefined), undefined)
  t.is(callerAddress('127.0.0.1', { 'x-forwarded-for': '198.51.100.1' }, []), '127.0.0.1')
})

test('address – hosts of one IPv6 network count together', (t) => {
  t.is(addressGroup('2001:db8:1:2:3::4'), addressGroup('2001:db8:1:2:ffff::9'))
  t.not(addressGroup('2001:db8:1:2::'), addressGroup('2001:db8:1:3::'))
  t.is(addressGroup('::ffff:198.51.100.1'), '198.51.100.1')
})

test('address – a list of proxies with a mistake is refused at the start', (t) => {
  t.false(trustedProxies.safeParse('10.0.0.0/8, proxy.example').success)
  t.false(trustedProxies.safeParse('10.0.0.0/33').success)
})
