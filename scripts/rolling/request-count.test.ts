import test from 'ava'
import * as fc from 'fast-check'
import { functionSource, queueProxySource, readSample } from './prometheus.ts'
import { quantileMs, RequestCount, since } from './request-count.ts'

const scrape = (good: number, bad: number) =>
  readSample(
    [
      '# TYPE http_server_request_duration_seconds histogram',
      `http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",kn_route_tag="kn:disabled",le="0.005"} ${good}`,
      `http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",kn_route_tag="kn:disabled",le="+Inf"} ${good}`,
      `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",kn_route_tag="kn:disabled"} ${good}`,
      `http_server_request_duration_seconds_sum{http_request_method="GET",http_response_status_code="200"} 1.5`,
      `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="502",kn_route_tag="kn:disabled"} ${bad}`,
      `http_server_request_duration_seconds_bucket{http_response_status_code="502",le="+Inf"} ${bad}`,
      'kn_serving_invocation_duration_seconds_count{http_response_status_code="500"} 99',
      'go_goroutine_count 12',
      '',
    ].join('\n'),
    queueProxySource,
  )

test('metrics – requests, errors and buckets of queue-proxy', (t) => {
  const count = new RequestCount()
  count.add('a', scrape(10, 3))
  t.deepEqual(count.totals(), {
    requests: 13,
    errors: 3,
    buckets: new Map([
      [5, 10],
      [Infinity, 13],
    ]),
  })
})

test("metrics – the function's own, with odd label values and times", (t) => {
  const sample = readSample(
    'http_request_duration_seconds_count{route="/a\\"b,c}",method="GET",status="503"} 2 1700000000000\nhttp_request_duration_seconds_bucket{le="NaN"} NaN\n',
    functionSource,
  )
  const count = new RequestCount()
  count.add('a', sample)
  t.like(count.totals(), { requests: 2, errors: 2 })
})

test('count – a pod that begins anew, vanishes, or is replaced under its name hides nothing', (t) => {
  const count = new RequestCount()
  count.add('a', scrape(100, 5))
  const mark = count.totals()
  count.add('a', scrape(110, 5))
  count.add('a', scrape(4, 2))
  t.like(since(mark, count.totals()), { requests: 16, errors: 2 })
  count.add('b', scrape(7, 1))
  t.like(since(mark, count.totals()), { requests: 24, errors: 3 })
  count.add('a', new Map())
  count.add('a', scrape(9, 2))
  t.like(since(mark, count.totals()), { requests: 35, errors: 5 })
})

type Event = { pod: number; good: number; bad: number; restart: boolean }
const events = fc.array(fc.record({ pod: fc.nat(3), good: fc.nat(50), bad: fc.nat(50), restart: fc.boolean() }), {
  maxLength: 60,
})

test('count – sums exactly what the pods counted, as long as a fall can be seen', (t) => {
  fc.assert(
    fc.property(events, (list: Event[]) => {
      const count = new RequestCount()
      const pods = new Map<number, { good: number; bad: number }>()
      const told = { requests: 0, errors: 0 }
      for (const { pod, good, bad, restart } of list) {
        const now = restart ? { good: 0, bad: 0 } : { ...(pods.get(pod) ?? { good: 0, bad: 0 }) }
        // A restarted process is seen at nothing before it counts again.
        if (restart) count.add(String(pod), scrape(0, 0))
        now.good += good
        now.bad += bad
        pods.set(pod, now)
        count.add(String(pod), scrape(now.good, now.bad))
        told.requests += good + bad
        told.errors += bad
        t.like(count.totals(), told)
      }
    }),
  )
})

test('quantile – a straight line between the bounds, infinite above the last one', (t) => {
  const buckets = new Map([
    [10, 50],
    [20, 100],
    [Infinity, 100],
  ])
  t.is(quantileMs(buckets, 0.5), 10)
  t.is(quantileMs(buckets, 0.75), 15)
  t.is(
    quantileMs(
      new Map([
        [10, 1],
        [Infinity, 100],
      ]),
      0.99,
    ),
    Infinity,
  )
  t.is(quantileMs(new Map(), 0.99), undefined)
})
