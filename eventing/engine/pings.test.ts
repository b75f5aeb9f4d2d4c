import test from 'ava'
import { momentsSince, pingEvent, scheduleOf } from './pings.ts'
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

test('scheduleOf – a minute is due in the schedule’s own time zone', (t) => {
  const isDue = scheduleOf({ cron: '30 9 * * 1-5', timezone: 'Asia/Shanghai' })
  t.true(isDue(new Date('2026-01-02T01:30:00.000Z')))
  t.false(isDue(new Date('2026-01-02T01:31:00.000Z')))
  t.false(isDue(new Date('2026-01-02T09:30:00.000Z')))
  t.false(isDue(new Date('2026-01-03T01:30:00.000Z')), 'a Saturday')
})

test('momentsSince – the whole minutes after the last one, five at most', (t) => {
  const at = (text: string) => Date.parse(`2026-01-02T03:${text}Z`)
  const since = (last: string, now: string) => momentsSince(at(last), at(now)).map((moment) => moment.getUTCMinutes())
  t.deepEqual(since('04:00', '04:59'), [])
  t.deepEqual(since('04:00', '05:00'), [5])
  t.deepEqual(since('04:00', '07:10'), [5, 6, 7])
  t.deepEqual(since('04:00', '40:10'), [36, 37, 38, 39, 40])
  // A clock that was put back.
  t.deepEqual(since('04:00', '02:00'), [])
  t.deepEqual(momentsSince(undefined, at('04:00')), [])
})
