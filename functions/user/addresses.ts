/** Addresses of a person: at most 50, one of them the default. In the caller's transaction, under the lock of the person. */
import { z } from 'zod'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { normalisePhone } from '@stampede/shared/personal-data/contact.ts'
import { deleteAddress, putAddress, readAddresses, type AddressRow } from './address-store.ts'
import { lockOrCreate, requireActive } from './change-person.ts'
import { sealerOf, type Keys, type Person } from './person.ts'
import { savePerson } from './store.ts'

export const maximumAddresses = 50

const line = (length: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(length)
    // eslint-disable-next-line no-control-regex -- exactly these do not belong on a parcel
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'holds control characters')
const phone = z
  .string()
  .max(40)
  .transform((text, context) => {
    const normal = normalisePhone(text)
    if (normal !== undefined) return normal
    context.addIssue({ code: 'custom', message: 'is not a telephone number with its country, like +49 170 1234567' })
    return z.NEVER
  })

/** What is sealed. */
export const addressContent = z.object({
  recipient: line(100),
  phone: phone.nullable().default(null),
  street: line(200),
  extra: line(200).nullable().default(null),
  postalCode: line(20).nullable().default(null),
  city: line(100),
  region: line(100).nullable().default(null),
  /** ISO 3166-1 alpha-2. */
  country: z.string().regex(/^[A-Z]{2}$/, 'is not a country code of two capital letters'),
})
export type AddressContent = z.output<typeof addressContent>
export type Address = AddressContent & { addressId: string; isDefault: boolean }

export const addressInput = addressContent.extend({ isDefault: z.boolean().default(false) }).strict()
export type AddressInput = z.output<typeof addressInput>

export function openAddresses(person: Person, rows: readonly AddressRow[], keys: Keys): Address[] {
  if (rows.length === 0) return []
  const sealer = sealerOf(person, keys)
  return rows.map(({ addressId, content }) => ({
    ...(JSON.parse(sealer.openAddress(addressId, content)) as AddressContent),
    addressId,
    isDefault: addressId === person.defaultAddressId,
  }))
}

/** Adds or replaces. The first address is the default; one that is made it takes the place of the one before. */
export async function saveAddress(
  context: ChangeContext,
  userId: string,
  address: { addressId: string; input: AddressInput; mustExist: boolean },
  keys: Keys,
): Promise<Address> {
  const { addressId, input, mustExist } = address
  const person = await lockOrCreate(context, userId, keys)
  requireActive(person)
  const known = await readAddresses(context.tenant, userId)
  if (mustExist && !known.some((row) => row.addressId === addressId)) throw unknownAddress(addressId)
  if (!mustExist && known.length >= maximumAddresses)
    throw new Problem('unprocessable', `There are ${maximumAddresses} addresses already. Delete one first.`)
  const { isDefault, ...content } = input
  const sealed = sealerOf(person, keys).sealAddress(addressId, JSON.stringify(content))
  await putAddress(context.tenant, { userId, addressId, content: sealed, at: new Date(context.now()) })
  const becomesDefault = isDefault || person.defaultAddressId === null
  const defaultAddressId = becomesDefault ? addressId : person.defaultAddressId
  await savePerson(context.tenant, { ...person, defaultAddressId, updatedAtMs: context.now() })
  return { ...content, addressId, isDefault: defaultAddressId === addressId }
}

/** After the default the oldest one is it. */
export async function removeAddress(
  context: ChangeContext,
  userId: string,
  addressId: string,
  keys: Keys,
): Promise<void> {
  const person = await lockOrCreate(context, userId, keys)
  requireActive(person)
  const known = await readAddresses(context.tenant, userId)
  if (!known.some((row) => row.addressId === addressId)) throw unknownAddress(addressId)
  await deleteAddress(context.tenant, userId, addressId)
  if (person.defaultAddressId !== addressId) return
  const oldest = known.find((row) => row.addressId !== addressId)
  await savePerson(context.tenant, {
    ...person,
    defaultAddressId: oldest?.addressId ?? null,
    updatedAtMs: context.now(),
  })
}

const unknownAddress = (addressId: string) => new Problem('not-found', `There is no address ${addressId}.`)
