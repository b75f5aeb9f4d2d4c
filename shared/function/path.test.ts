import test from 'ava'
import * as fc from 'fast-check'
import { compileHotPath, segmentsOf } from './path.ts'
import { createRouter } from './router.ts'

test('hot path – matches exactly, with or without a query', (t) => {
  const match = compileHotPath('/api/v1/seckill/:activityId/orders/:orderNumber')
  t.deepEqual(match('/api/v1/seckill/a/orders/b'), ['a', 'b'])
  t.deepEqual(match('/api/v1/seckill/a/orders/b?c=/d'), ['a', 'b'])
  for (const url of [
    '/api/v1/seckill/a/orders/',
    '/api/v1/seckill//orders/b',
    '/api/v1/seckill/a/orders/b/',
    '/api/v1/seckill/a/orders/b/c',
    '/api/v1/seckill/a',
    '/api/v1/seckill/a%2Fb/orders/b',
    '/api/v1/seckill/a?/orders/b',
    '/x',
    '',
    '*',
  ]) {
    t.is(match(url), undefined, url)
  }
  t.deepEqual(compileHotPath('/a/b')('/a/b'), [])
  t.is(compileHotPath('/a/b')('/a/bc'), undefined)
  t.deepEqual(compileHotPath('/a/:b')('/a/x-y'), ['x-y'])
})

test('hot path – agrees with the router on every path that needs no decoding', (t) => {
  const paths = ['/a/:x', '/a/:x/b', '/a/b', '/:x/b/:y', '/a/:x/:y/c']
  const url = fc
    .array(fc.constantFrom('a', 'b', 'c', '', 'ab', '..'), { maxLength: 5 })
    .map((parts) => `/${parts.join('/')}`)
  fc.assert(
    fc.property(fc.constantFrom(...paths), url, fc.constantFrom('', '?', '?a=/b'), (path, given, query) => {
      const router = createRouter<string>()
      router.add('GET', path, path)
      const found = router.find('GET', given)
      const expected = found.kind === 'found' ? Object.values(found.params) : undefined
      const actual = compileHotPath(path)(given + query)
      t.deepEqual(actual && [...actual], expected, `${path} ${given}`)
    }),
    { numRuns: 2_000 },
  )
})

test('router – a literal goes before a parameter, and a dead end is left again', (t) => {
  const router = createRouter<string>()
  router.add('GET', '/orders/:orderNumber', 'one')
  router.add('GET', '/orders/mine', 'mine')
  router.add('POST', '/orders/:id/cancel', 'cancel')
  router.add('GET', '/orders/mine/archive', 'archive')
  t.like(router.find('GET', '/orders/mine'), { kind: 'found', target: 'mine' })
  t.like(router.find('GET', '/orders/x'), { kind: 'found', target: 'one' })
  const found = router.find('POST', '/orders/mine/cancel')
  t.is(found.kind === 'found' && found.target, 'cancel')
  t.is(found.kind === 'found' && found.params['id'], 'mine')
  t.deepEqual(router.find('POST', '/orders/mine'), { kind: 'other-methods', allowed: ['GET', 'HEAD', 'OPTIONS'] })
  t.throws(() => router.add('GET', '/orders/:other', 'twice'), { message: /declared twice/ })
})

test('declared path – other forms are refused', (t) => {
  for (const path of ['', 'a', '/a//b', '/a/', '/:', '/a b', '/*', '/:a-b', '/a?b'])
    t.throws(() => segmentsOf(path), { instanceOf: TypeError }, path)
})
