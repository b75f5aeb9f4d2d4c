/** Events of identity, tenancy and audit. Personal data travels sealed (`shared/personal-data`) or not at all. */
import { z } from 'zod'
import { defineEvent } from './definition.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const instant = z.iso.datetime({ precision: 3 })
const ofUser = { tenantId: identifier, userId: identifier }
const userKey = (data: { tenantId: string; userId: string }) => `${data.tenantId}:${data.userId}`
/** Personal data under the key ring: `v1.<key id>.<wrapped data key>.<nonce>.<cipher text>.<tag>`, base64url (`shared/personal-data`). */
const sealed = z.string().max(4_096)

export const tenantChanged = defineEvent({
  type: 'io.stampede.tenant.changed.v1',
  source: '/functions/tenant',
  summary:
    'A tenant was created, suspended, resumed or closed, or its quotas, its settings or whether it is within its quota of rows changed.',
  subject: 'tenant id',
  data: z.object({
    tenantId: identifier,
    change: z.enum(['created', 'suspended', 'resumed', 'closed', 'quota', 'settings', 'storage']),
    state: z.enum(['active', 'suspended', 'closed']),
    quota: z.object({
      requestsPerSecond: z.int().min(1).optional(),
      activities: z.int().min(0).optional(),
      ordersPerDay: z.int().min(0).optional(),
      storageRows: z.int().min(0).optional(),
    }),
    version: z.int().min(1),
    at: instant,
  }),
  partitionKey: (data) => data.tenantId,
})

export const rolesChanged = defineEvent({
  type: 'io.stampede.permission.roles-changed.v1',
  source: '/functions/permission',
  summary: 'The roles of a tenant changed; `roles` are those that are not built in, with their effective permissions.',
  subject: 'tenant id',
  data: z.object({
    tenantId: identifier,
    roles: z.record(z.string().max(64), z.array(z.string().max(64)).max(100)),
    version: z.int().min(1),
    at: instant,
  }),
  partitionKey: (data) => data.tenantId,
})

export const assignmentChanged = defineEvent({
  type: 'io.stampede.permission.assignment-changed.v1',
  source: '/functions/permission',
  summary: 'The roles of a user changed.',
  subject: 'user id',
  data: z.object({ ...ofUser, roles: z.array(z.string().max(64)).max(32), at: instant }),
  partitionKey: userKey,
})

export const accountRegistered = defineEvent({
  type: 'io.stampede.account.registered.v1',
  source: '/functions/auth',
  summary: 'A person registered; the contact they proved is sealed.',
  subject: 'user id',
  data: z.object({ ...ofUser, contactKind: z.enum(['email', 'phone']), sealedContact: sealed, at: instant }),
  partitionKey: userKey,
})

export const accountSignedIn = defineEvent({
  type: 'io.stampede.account.signed-in.v1',
  source: '/functions/auth',
  summary: 'A person signed in; a session began.',
  subject: 'user id',
  data: z.object({ ...ofUser, sessionId: identifier, at: instant }),
  partitionKey: userKey,
})

export const accountLocked = defineEvent({
  type: 'io.stampede.account.locked.v1',
  source: '/functions/auth',
  summary: 'Too many failed attempts: sign-in to this account waits.',
  subject: 'user id',
  data: z.object({ ...ofUser, failures: z.int(), untilAt: instant, at: instant }),
  partitionKey: userKey,
})

export const sessionRevoked = defineEvent({
  type: 'io.stampede.session.revoked.v1',
  source: '/functions/auth',
  summary: 'Sessions of a person ended before their time; an empty list means all.',
  subject: 'user id',
  data: z.object({
    ...ofUser,
    sessionIds: z.array(identifier).max(1_000),
    reason: z.enum(['signed-out', 'revoked', 'refresh-token-reused', 'password-changed', 'user-deactivated']),
    at: instant,
  }),
  partitionKey: userKey,
})

const userStateEvent = (verb: string, summary: string) =>
  defineEvent({
    type: `io.stampede.user.${verb}.v1`,
    source: '/functions/user',
    summary,
    subject: 'user id',
    data: z.object({ ...ofUser, at: instant }),
    partitionKey: userKey,
  })
export const userDeactivated = userStateEvent('deactivated', 'An account may do nothing until it is activated again.')
export const userReactivated = userStateEvent('reactivated', 'A deactivated account is active again.')
export const userErased = userStateEvent(
  'erased',
  'The personal data of a person is gone; orders stay valid without it.',
)

export const notificationRequested = defineEvent({
  type: 'io.stampede.notification.requested.v1',
  source: '/functions/auth',
  summary: 'A message to a person is to be sent. Recipient and parameters are sealed.',
  subject: 'notification id',
  data: z.object({
    tenantId: identifier,
    notificationId: identifier,
    channel: z.enum(['email', 'sms']),
    template: identifier,
    locale: z.string().max(35),
    sealedRecipient: sealed,
    sealedParameters: sealed,
    expiresAt: instant,
  }),
  partitionKey: (data) => `${data.tenantId}:${data.notificationId}`,
})

export const auditRecorded = defineEvent({
  type: 'io.stampede.audit.recorded.v1',
  source: '/functions/audit',
  anySource: true,
  summary: 'Somebody did something that must stay provable; published by the function where it happened.',
  subject: 'what it was done to, for example `tenant/acme`',
  data: z.object({
    tenantId: identifier,
    /** Stable for one fact, so that a repeated event is recorded once. */
    recordId: identifier,
    actor: z.object({ kind: z.enum(['user', 'staff', 'service', 'system']), id: identifier, tenantId: identifier }),
    /** For example `tenant.suspended`. */
    action: z
      .string()
      .regex(/^[a-z-]+(\.[a-z-]+)+$/)
      .max(100),
    subject: z.string().max(200),
    /** What changed, without personal data. */
    details: z.record(z.string().max(64), z.union([z.string().max(1_000), z.number(), z.boolean(), z.null()])),
    at: instant,
  }),
  partitionKey: (data) => data.tenantId,
})

export const auditCheckpointed = defineEvent({
  type: 'io.stampede.audit.checkpointed.v1',
  source: '/functions/audit',
  summary: "What the end of a tenant's audit chain is, signed. Copies of it show what is cut off later.",
  subject: 'tenant id',
  data: z.object({
    tenantId: identifier,
    sequence: z.int().min(1),
    hash: z.string().regex(/^[0-9a-f]{64}$/),
    at: instant,
    keyId: z.string().max(32),
    mac: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  partitionKey: (data) => data.tenantId,
})

export const identityEvents = [
  tenantChanged,
  rolesChanged,
  assignmentChanged,
  accountRegistered,
  accountSignedIn,
  accountLocked,
  sessionRevoked,
  userDeactivated,
  userReactivated,
  userErased,
  notificationRequested,
  auditRecorded,
  auditCheckpointed,
] as const
