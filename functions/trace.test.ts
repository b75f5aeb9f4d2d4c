/** One purchase is one trace: from the request over the relay and Kafka to the stored order (OBS2). */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { attributeOf, startCollector } from '@stampede/shared/testing/collector.ts'
import { caller, eventually, openSale, press, startCollection } from './testing.ts'

test('trace – request, relay and stored order of one purchase are in one trace, of an unsampled one in none', async (t) => {
  const collector = await startCollector()
  t.teardown(() => collector.stop())
  const collection = await startCollection({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER_ARG: '1',
  })
  t.teardown(() => collection.stop())
  const tenantId = `t-${randomBytes(6).toString('hex')}`
  const call = caller(
    collection,
    await collection.identity.token({ tenantId, userId: 'chief', roles: ['administrator'] }),
  )
  await call('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 20, reason: 'counted' })
  const activityId = await openSale(collection, call, { variantId: 'phone', stock: 10, buckets: 1 })

  const [sampled, unsampled] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
  const caller1 = randomBytes(8).toString('hex')
  const buy = (userId: string, traceparent: string) =>
    press(collection, { tenantId, userId, activityId }, { traceparent })
  const [traced, refused] = [
    await buy('traced', `00-${sampled}-${caller1}-01`),
    await buy('traced', `00-${sampled}-${caller1}-01`),
  ]
  const untraced = await buy('untraced', `00-${unsampled}-${caller1}-00`)
  t.deepEqual([traced.status, refused.status, untraced.status], [202, 409, 202])
  await eventually(
    async () => (await call('GET', `/api/v1/seckill/${activityId}/live`)).body,
    ({ confirmed }) => confirmed === 2,
  )
  // The end hands over what was not sent yet.
  await collection.stop()

  const spans = collector.spans.filter(({ traceId }) => traceId === sampled)
  const requests = spans.filter(({ name }) => name === 'POST /api/v1/seckill/:activityId/purchases')
  t.deepEqual(
    requests.map((span) => [
      span.parentSpanId,
      attributeOf(span, 'http.response.status_code'),
      attributeOf(span, 'seckill.reason'),
    ]),
    [
      [caller1, 202, 'accepted'],
      [caller1, 409, 'duplicate'],
    ],
  )
  const children = (name: string) =>
    spans
      .filter((span) => span.name === name && span.parentSpanId === requests[0]!.spanId)
      .map((span) => attributeOf(span, 'order.number'))
  t.deepEqual(children('seckill relay'), [traced.body['orderNumber']])
  t.deepEqual(children('order store'), [traced.body['orderNumber']])
  const stored = spans.find(({ name }) => name === 'order store')!
  t.is(attributeOf(stored, 'order.outcome'), 'stored')
  t.is(collector.spans.filter(({ traceId }) => traceId === unsampled).length, 0)
})
