/** All SQL of notification. */
import type { PlatformDatabase, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'

export type StoredMessage = {
  notificationId: string
  channel: 'email' | 'sms'
  template: string
  locale: string
  sealedRecipient: string
  sealedParameters: string
  expiresAt: Date
  receivedAt: Date
}

const insert = tenantStatement(
  'notification.insertMessage',
  `INSERT INTO notification_messages (tenant_id, notification_id, channel, template, locale, sealed_recipient, sealed_parameters,
     expires_at, received_at)
   VALUES (:tenantId, :notificationId, :channel, :template, :locale, :sealedRecipient, :sealedParameters, :expiresAt, :receivedAt)
   ON DUPLICATE KEY UPDATE notification_id = VALUES(notification_id)`,
)
/** Again is the same. */
export async function insertMessage(db: TenantDatabase, message: StoredMessage): Promise<void> {
  await db.change(insert, message)
}

const list = tenantStatement(
  'notification.listMessages',
  `SELECT notification_id AS notificationId, channel, template, locale, sealed_recipient AS sealedRecipient,
     sealed_parameters AS sealedParameters, expires_at AS expiresAt, received_at AS receivedAt
   FROM notification_messages WHERE tenant_id = :tenantId AND received_at >= :since
   ORDER BY received_at DESC, notification_id LIMIT :limit`,
)
/** The newest first. */
export async function listMessages(db: TenantDatabase, since: Date, limit: number): Promise<StoredMessage[]> {
  return (await db.rows(list, { since, limit })) as unknown as StoredMessage[]
}

const sweep = platformStatement(
  'notification.sweepMessages',
  'DELETE FROM notification_messages WHERE received_at < :before ORDER BY received_at LIMIT :step',
  'messages of all tenants are deleted by the clock when their hour is over',
)
const oldest = platformStatement(
  'notification.oldestMessage',
  'SELECT MIN(received_at) AS receivedAt FROM notification_messages',
  'the clock looks when the hour of the next message of any tenant is over',
)
/** When the oldest message came, ms; undefined: there is none. */
export async function oldestMessageMs(db: PlatformDatabase): Promise<number | undefined> {
  const row = await db.row(oldest, {})
  return (row?.['receivedAt'] as Date | null | undefined)?.getTime()
}

const sweepStep = 1_000
export async function sweepMessages(db: PlatformDatabase, before: Date): Promise<void> {
  while ((await db.change(sweep, { before, step: sweepStep })) === sweepStep);
}
