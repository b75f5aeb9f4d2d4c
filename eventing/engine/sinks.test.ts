import test from 'ava'
import { parseSinks } from './sinks.ts'

const reference = (name: string) => ({ apiVersion: 'v1', kind: 'Service' as const, name, namespace: 'shop' })

test('parseSinks – a named address wins over the default, wherever it stands', (t) => {
  const resolve = parseSinks('default=http://d:1/{name}/x/{name},order=https://o:2')
  t.is(resolve(reference('order')), 'https://o:2')
  t.is(resolve(reference('stock')), 'http://d:1/stock/x/stock')
})

test('parseSinks – without a default a service that is not named has no address', (t) => {
  t.is(parseSinks('order=http://o:2')(reference('stock')), undefined)
})

test('parseSinks – an address may hold an equals sign; empty entries are nothing', (t) => {
  t.is(parseSinks(' , order=http://o:2/?a=b ,')(reference('order')), 'http://o:2/?a=b')
})

test('parseSinks – the error names the entry', (t) => {
  t.throws(() => parseSinks('order=http://o:2,stock=nowhere'), {
    instanceOf: TypeError,
    message: '"stock=nowhere" is not name=http://address',
  })
})

test('parseSinks – name and namespace fill in the host of an address on a cluster', (t) => {
  const resolve = parseSinks('default=http://{name}.{namespace}.svc.cluster.local')
  t.is(resolve(reference('order')), 'http://order.shop.svc.cluster.local')
})
