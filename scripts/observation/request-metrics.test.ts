import { readFile } from 'node:fs/promises'
import test from 'ava'
import { addCounts, countsBetween, readRequestCounts } from './request-metrics.ts'
import { parseMetrics, quantile } from './prometheus-text.ts'
import { readStat } from './stat-message.ts'
import { encodeStat } from './testing.ts'

test('metrics – labels with commas, quotes and braces, values of every kind, and lines that are none', (t) => {
  const samples = parseMetrics(
    ['# HELP a b', 'a{x="1,2",y="\\"q\\" {b}"} 3', 'b 1.5e3 1700000000', 'c{le="+Inf"} +Inf', 'nonsense', ''].join(
      '\n',
    ),
  )
  t.deepEqual(samples, [
    { name: 'a', labels: { x: '1,2', y: '"q" {b}' }, value: 3 },
    { name: 'b', labels: {}, value: 1_500 },
    { name: 'c', labels: { le: '+Inf' }, value: Number.POSITIVE_INFINITY },
  ])
})

test('metrics – quantiles lie inside their bucket, and above the last bound are that bound', (t) => {
  const buckets = new Map([
    [10, 50],
    [100, 90],
    [Number.POSITIVE_INFINITY, 100],
  ])
  t.is(quantile(buckets, 0.25), 5)
  t.is(quantile(buckets, 0.5), 10)
  t.is(quantile(buckets, 0.7), 55)
  t.is(quantile(buckets, 0.99), 100)
  t.is(quantile(new Map(), 0.5), undefined)
  t.is(quantile(new Map([[10, 0]]), 0.5), undefined)
})

test('queue-proxy – what came between two readings, also when the pod began anew', (t) => {
  const at = (requests: number, errors: number) => ({ requests, errors, buckets: new Map([[5, requests]]) })
  t.deepEqual(countsBetween(at(10, 1), at(15, 3)), at(5, 2))
  t.deepEqual(countsBetween(at(10, 1), at(3, 0)), at(3, 0))
  t.deepEqual(countsBetween(undefined, at(3, 0)), at(3, 0))
  t.deepEqual(addCounts(at(1, 1), at(2, 0)), at(3, 1))
})

test('queue-proxy – older names are read too, in their own unit; a page without them has no counts', (t) => {
  const old = readRequestCounts(
    [
      'revision_app_request_latencies_bucket{response_code="200",le="5"} 4',
      'revision_app_request_latencies_count{response_code="200"} 4',
      'revision_app_request_latencies_count{response_code="500"} 2',
    ].join('\n'),
  )
  t.is(old?.requests, 6)
  t.is(old?.errors, 2)
  t.deepEqual([...old!.buckets], [[5, 4]])
  t.is(readRequestCounts('go_goroutines 7'), undefined)
})

test('queue-proxy – the message for the autoscaler; zeros are not on the wire; anything else is refused', (t) => {
  t.deepEqual(readStat(encodeStat('pod-1', 2.5, 40)), { podName: 'pod-1', concurrency: 2.5, requestsPerSecond: 40 })
  t.deepEqual(readStat(encodeStat('pod-1', 0, 0)), { podName: 'pod-1', concurrency: 0, requestsPerSecond: 0 })
  t.is(readStat(new Uint8Array()), undefined)
  t.is(readStat(Buffer.from('<html>not found</html>')), undefined)
  t.is(readStat(encodeStat('pod-1', 2.5, 40).subarray(0, 12)), undefined)
})

test('queue-proxy – the page of a real pod (Serving module 0.50): requests, errors, quantiles', async (t) => {
  const page = await readFile(new URL('recorded/queue-proxy-9091.txt', import.meta.url), 'utf8')
  const counts = readRequestCounts(page)!
  t.is(counts.requests, 731)
  t.is(counts.errors, 0)
  t.is(counts.buckets.get(5), 617)
  t.is(counts.buckets.get(Number.POSITIVE_INFINITY), 731)
  t.true(quantile(counts.buckets, 0.5)! < 5)
  const p99Ms = quantile(counts.buckets, 0.99)!
  t.true(p99Ms > 25 && p99Ms <= 75, String(p99Ms))
})

test('queue-proxy – the message of a real pod (Serving module 0.50) without requests', (t) => {
  const recorded =
    '0a2768656c6c6f2d30303030312d6465706c6f796d656e742d373639376366373862642d633637393231e1e65ca348002640'
  t.deepEqual(readStat(Buffer.from(recorded, 'hex')), {
    podName: 'hello-00001-deployment-7697cf78bd-c6792',
    concurrency: 0,
    requestsPerSecond: 0,
  })
})
