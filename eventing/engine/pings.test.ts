import test from 'ava'
import { dueSince, pingEvent, scheduleOf } from './pings.ts'
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

const at = (text: string) => Date.parse(`2026-01-02T03:${text}Z`)
const always = { offsetMs: 0, isDue: () => true }

test('dueSince – the whole minutes after the last time, of five minutes at most', (t) => {
  const since = (last: string, now: string) =>
    dueSince([always], at(last), at(now))?.due.map(({ minute }) => minute.getUTCMinutes())
  t.is(since('04:00', '04:59'), undefined)
  t.deepEqual(since('04:00', '05:00'), [5])
  t.deepEqual(since('04:30', '05:00'), [5])
  t.deepEqual(since('04:00', '07:10'), [5, 6, 7])
  t.deepEqual(since('04:00', '40:10'), [36, 37, 38, 39, 40])
  // A clock that was put back.
  t.is(since('04:00', '02:00'), undefined)
  t.is(dueSince([always], undefined, at('04:00')), undefined)
})

test('dueSince – a ping with an offset is due that much later, as the event of its minute', (t) => {
  const late = { offsetMs: 40_000, isDue: (minute: Date) => minute.getUTCMinutes() % 2 === 0 }
  const since = (last: string, now: string) => {
    const found = dueSince([always, late], at(last), at(now))
    return found && [found.due.map(({ ping, minute }) => [ping.offsetMs, minute.getUTCMinutes()]), found.untilMs]
  }
  t.deepEqual(since('04:00', '04:40'), [[[40_000, 4]], at('04:40')])
  t.deepEqual(since('04:41', '05:20'), [[[0, 5]], at('05:00')])
  // Not on its schedule: nothing to send, and it need not be looked at again.
  t.deepEqual(since('05:00', '05:45'), [[], at('05:40')])
  t.deepEqual(
    since('04:20', '06:59'),
    [
      [
        [40_000, 4],
        [0, 5],
        [0, 6],
        [40_000, 6],
      ],
      at('06:40'),
    ],
    'a leader that takes over between the minute and its offset leaves out nothing',
  )
})
