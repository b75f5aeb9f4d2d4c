import { Writable } from 'node:stream'
import test from 'ava'
import * as fc from 'fast-check'
import { createLog } from '../telemetry/log.ts'
import { maskForLog, maskLogText } from './mask-log.ts'

const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl'
const write = (work: (log: ReturnType<typeof createLog>) => void): string => {
  const lines: string[] = []
  work(createLog({ level: 'info', service: 'probe', destination: { write: (line) => void lines.push(line) } }))
  for (const line of lines) JSON.parse(line)
  return lines.join('')
}

test('log – personal data and secrets are masked wherever they are', (t) => {
  const secret = 'hunter2'
  const leaks = ['ann@example.com', '+491701234567', jwt, secret]
  const written = write((log) => {
    log.info({ deep: { deeper: { deepest: { email: 'x', list: [{ password: secret }] } } } }, 'names')
    log.info({ note: `write to ann@example.com or +491701234567`, other: ['ann@example.com'] }, 'texts')
    log.info({ header: `Bearer ${secret}${secret}`, cookieValue: `sid ${jwt}` }, 'tokens')
    log.info({ 'Refresh-Token': secret, newPassword: secret, client_secret: secret, idToken: secret }, 'spellings')
    log.warn({ error: new Error('no mail to ann@example.com', { cause: new Error('+491701234567') }) }, 'an error')
    log.warn(
      { nested: { err: Object.assign(new Error('x'), { recipient: secret, sql: `a = '${secret}''\\'x'` }) } },
      'deep',
    )
    log.error(new Error('sent to ann@example.com'))
    log.info('sent to ann@example.com')
    log.info('%s signed in', 'ann@example.com')
    log.child({ email: secret, note: 'ann@example.com' }).info('child')
    log.info({ contact: { toJSON: () => secret }, made: { toJSON: () => ({ note: 'ann@example.com' }) } }, 'made')
  })
  for (const leak of leaks)
    t.deepEqual(
      written.split('\n').filter((line) => line.includes(leak)),
      [],
      leak,
    )
  t.true(written.split('\n').length > 10)
})

test('log – what is needed to understand a line stays', (t) => {
  const at = new Date()
  const written = write((log) =>
    log.info(
      {
        tenantId: 'acme',
        orderNumber: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
        at,
        count: 3,
        missing: null,
        time: '2026-01-01T00:00:00.000+08:00',
        url: 'http://order.stampede:8080/api/v1/orders?x=1+2',
        error: new TypeError('offset +12345 is too far'),
        sql: 'SELECT 1 FROM t WHERE a = ?',
        list: [1, 'two'],
      },
      'something',
    ),
  )
  const line = JSON.parse(written)
  t.like(line, {
    tenantId: 'acme',
    orderNumber: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    at: at.toISOString(),
    count: 3,
    missing: null,
    time: '2026-01-01T00:00:00.000+08:00',
    url: 'http://order.stampede:8080/api/v1/orders?x=1+2',
    sql: 'SELECT 1 FROM t WHERE a = ?',
    message: 'something',
  })
  t.regex(line.error.message, /offset \+12345 is too far/)
  t.is(line.error.type, 'TypeError')
})

test('mask – circles, depth, length and streams are bounded', (t) => {
  const circle: Record<string, unknown> = { name: 'x' }
  circle['self'] = circle
  const shown = maskForLog(
    { circle, long: 'x'.repeat(100_000), many: Array.from({ length: 1_000 }, () => 'a'), bytes: Buffer.from('ann') },
    String,
  )
  const text = JSON.stringify(shown)
  t.true(text.length < 30_000)
  t.regex(text, /too deep/)
  t.regex(text, /3 bytes/)
  t.notThrows(() => JSON.stringify(maskForLog({ stream: new Writable() }, String)))
})

test('mask – an address in any text is gone, and masking twice changes nothing more', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.emailAddress(), fc.string(), (before, email, after) => {
      const masked = maskLogText(`${before} ${email} ${after}`)
      return !masked.includes(email) && maskLogText(masked) === masked
    }),
  )
  t.pass()
})
