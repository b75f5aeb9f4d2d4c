import test from 'ava'
import * as fc from 'fast-check'
import { createRouter } from '@stampede/shared/function/router.ts'
import { isHost, parseTarget } from './request-line.ts'

for (const target of [
  '*',
  '',
  'api/v1/activities',
  'http://elsewhere/api/v1/activities',
  '//elsewhere/api/v1/activities',
  '/api//v1/activities',
  '/api/v1/activities//',
  '/api/v1/public/../activities',
  '/api/v1/./activities',
  '/..',
  '/api/v1/..',
  '/api/v1/%2e%2e/activities',
  '/api/v1/%2E./activities',
  '/api/v1%2factivities',
  '/api/v1%2Factivities',
  '/api/v1%5cactivities',
  '/api\\v1\\activities',
  '/api/v1/activities%00',
  '/api/v1/activities%0d%0aset-cookie:x',
  '/api/v1/activities%7f',
  '/api/v1/%252e%252e/activities',
  '/api/v1/activities%',
  '/api/v1/activities%4',
  '/api/v1/activities%zz',
  '/api/v1/activities#fragment',
  '/api/v1/activities?a#b',
  '/api/v1/activities?a=%',
  '/api/v1/activities?a=%0',
  '/api/v1/activities?a b',
  '/api/v1/activities?a\\b',
  '/api/v1/äctivities',
  '/api/v1/act\tivities',
]) {
  test(`target – "${target}" is refused`, (t) => {
    t.is(parseTarget(target), undefined)
  })
}

test('target – path and query are taken apart as they are', (t) => {
  t.deepEqual(parseTarget('/api/v1/activities'), { path: '/api/v1/activities', query: '' })
  t.deepEqual(parseTarget('/'), { path: '/', query: '' })
  t.deepEqual(parseTarget('/a/?b=/../c%2f'), { path: '/a/', query: '?b=/../c%2f' })
  t.deepEqual(parseTarget('/a?b[]=1&c="x"'), { path: '/a', query: '?b[]=1&c="x"' })
  t.deepEqual(parseTarget('/a.b/..c/d..?'), { path: '/a.b/..c/d..', query: '?' })
})

test('target – whatever is accepted means the same to a reader that normalises', (t) => {
  const router = createRouter<string>()
  for (const path of ['/api/v1/activities', '/api/v1/activities/:activityId', '/metrics', '/events/:function']) {
    router.add('GET', path, path)
  }
  const pieces = fc.constantFrom(
    'api',
    'v1',
    'activities',
    'metrics',
    'events',
    '.',
    '..',
    '%2e',
    '%2F',
    '/',
    '//',
    '\\',
    '%5c',
    ';',
    'x',
    '?',
    '%00',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const url = `/${parts.join('/')}`.slice(0, 200)
      const target = parseTarget(url)
      if (!target) return
      // WHATWG's parser resolves dots and turns backslashes round.
      const resolved = new URL(url, 'http://host').pathname
      t.is(router.find('GET', target.path).kind, router.find('GET', resolved).kind, url)
      t.is(resolved, target.path)
    }),
    { numRuns: 2_000 },
  )
})

test('host – names and addresses with a port, and nothing that could be more', (t) => {
  for (const host of ['localhost', 'a.example:8080', '127.0.0.1', '[::1]:80', 'under_score.example'])
    t.true(isHost(host), host)
  for (const host of ['', 'a b', 'a/b', 'user@a', 'a,b', 'a:port', '::1', '[::1', 'a"b', 'a\r\nb'])
    t.false(isHost(host), host)
})
