import test from 'ava'
import { tenantChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import { toCloudEvent } from '../events/publish.ts'
import { actorOf, auditEvent, systemActor } from './audit-event.ts'

const fact = {
  by: 'tenant',
  tenantId: 'acme',
  actor: systemActor('tenant', 'acme'),
  action: 'tenant.suspended',
  subject: 'tenant/acme',
  atMs: Date.UTC(2026, 0, 1),
}

test('audit event – comes from the function where it happened, its id is that of the record', (t) => {
  const event = toCloudEvent(auditEvent({ ...fact, recordId: 'r-1', details: { reason: 'unpaid', until: undefined } }))
  t.like(event, {
    id: 'r-1',
    source: '/functions/tenant',
    type: 'io.stampede.audit.recorded.v1',
    subject: 'tenant/acme',
    time: '2026-01-01T00:00:00.000Z',
    partitionkey: 'acme',
  })
  t.deepEqual(event.data?.details, { reason: 'unpaid' })
  t.not(auditEvent(fact).data.recordId, auditEvent(fact).data.recordId)
})

test('audit event – names the caller of a token', (t) => {
  const principal = { kind: 'staff', tenantId: 'platform', userId: 'ann', roles: ['x'], issuedAtMs: 0 } as const
  t.deepEqual(actorOf(principal), { kind: 'staff', id: 'ann', tenantId: 'platform' })
})

test('audit event – texts that are too long are cut between characters', (t) => {
  const event = toCloudEvent(
    auditEvent({ ...fact, subject: 's'.repeat(500), details: { reason: `${'x'.repeat(998)}😀😀`, count: 3 } }),
  )
  t.is(event.data?.subject.length, 200)
  t.is(event.data?.details['reason'], `${'x'.repeat(998)}…`)
  t.is(event.data?.details['count'], 3)
})

test('publish – another source is refused where the definition does not allow it', (t) => {
  const data = {
    tenantId: 'acme',
    change: 'created',
    state: 'active',
    quota: {},
    version: 1,
    at: '2026-01-01T00:00:00.000Z',
  } as const
  const outgoing = { definition: tenantChanged, subject: 'acme', data }
  t.is(toCloudEvent({ ...outgoing, source: '/functions/tenant' }).source, '/functions/tenant')
  t.throws(() => toCloudEvent({ ...outgoing, source: '/functions/order' }), { message: /by \/functions\/tenant alone/ })
})
