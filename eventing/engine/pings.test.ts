import test from 'ava'
import { pingEvent } from './pings.ts'
import { planEngine } from './plan.ts'

test('pingEvent – is the same event for the same moment of a schedule', (t) => {
  const plan = planEngine([
    {
      origin: 'ping.yaml',
      value: {
        apiVersion: 'sources.knative.dev/v1',
        kind: 'PingSource',
        metadata: { name: 'sweep', namespace: 'shop' },
        spec: {
          schedule: '* * * * *',
          contentType: 'application/json',
          data: '{"task":"sweep"}',
          sink: { uri: 'http://127.0.0.1:9/' },
        },
      },
    },
  ])
  const at = new Date('2026-01-02T03:04:00.000Z')
  const event = pingEvent(plan.pings[0]!, at)
  t.deepEqual(event, pingEvent(plan.pings[0]!, at))
  t.deepEqual(event.attributes, {
    specversion: '1.0',
    id: 'ping/shop/sweep/2026-01-02T03:04:00.000Z',
    source: '/apis/v1/namespaces/shop/pingsources/sweep',
    type: 'dev.knative.sources.ping',
    time: '2026-01-02T03:04:00.000Z',
    datacontenttype: 'application/json',
  })
  t.is(event.data?.toString(), '{"task":"sweep"}')
  t.not(pingEvent(plan.pings[0]!, new Date('2026-01-02T03:05:00.000Z')).attributes['id'], event.attributes['id'])
})
