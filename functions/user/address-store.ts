/** SQL of user: addresses. Their content is sealed with the data key of the person, whose row is locked by who changes them. */
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'

const selectAddresses = tenantStatement(
  'user.selectAddresses',
  `SELECT address_id, content, created_at, updated_at FROM user_addresses WHERE tenant_id = :tenantId AND user_id = :userId
   ORDER BY created_at, address_id`,
)
const putAddressRow = tenantStatement(
  'user.putAddress',
  `INSERT INTO user_addresses (tenant_id, user_id, address_id, content, created_at, updated_at)
   VALUES (:tenantId, :userId, :addressId, :content, :at, :at)
   ON DUPLICATE KEY UPDATE content = VALUES(content), updated_at = VALUES(updated_at)`,
)
const deleteAddressRow = tenantStatement(
  'user.deleteAddress',
  'DELETE FROM user_addresses WHERE tenant_id = :tenantId AND user_id = :userId AND address_id = :addressId',
)
const deleteAddressRows = tenantStatement(
  'user.deleteAddresses',
  'DELETE FROM user_addresses WHERE tenant_id = :tenantId AND user_id = :userId',
)

/** `content` is sealed. */
export type AddressRow = { addressId: string; content: string; createdAtMs: number; updatedAtMs: number }

/** The oldest first; there are never more than 50. */
export async function readAddresses(tenant: TenantDatabase, userId: string): Promise<AddressRow[]> {
  return (await tenant.rows(selectAddresses, { userId })).map((row) => ({
    addressId: String(row['address_id']),
    content: String(row['content']),
    createdAtMs: (row['created_at'] as Date).getTime(),
    updatedAtMs: (row['updated_at'] as Date).getTime(),
  }))
}

export async function putAddress(
  tenant: TenantDatabase,
  address: { userId: string; addressId: string; content: string; at: Date },
): Promise<void> {
  await tenant.change(putAddressRow, address)
}

export async function deleteAddress(tenant: TenantDatabase, userId: string, addressId: string): Promise<void> {
  await tenant.change(deleteAddressRow, { userId, addressId })
}

export async function deleteAddresses(tenant: TenantDatabase, userId: string): Promise<void> {
  await tenant.change(deleteAddressRows, { userId })
}
