/** What sealed values of events are bound to: part of the contract between who sends and who takes them. */
import type { SealContext } from './key-ring.ts'

/** `sealedContact` of `account.registered`: the normalised e-mail address or number. */
export const registeredContactContext = (tenantId: string, userId: string): SealContext => ({
  tenantId,
  table: 'account.registered',
  column: 'contact',
  rowId: userId,
})

/** `sealedRecipient` (the address or number) and `sealedParameters` (a JSON object of strings) of `notification.requested`. */
export const notificationContext = (
  tenantId: string,
  notificationId: string,
  column: 'recipient' | 'parameters',
): SealContext => ({ tenantId, table: 'notification.requested', column, rowId: notificationId })
