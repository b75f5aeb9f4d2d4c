/** What is shown of a person: everything to themselves, masked to staff. */
import { z } from 'zod'
import { maskContact, maskName, maskText } from '@stampede/shared/personal-data/mask.ts'
import { addressContent, type Address } from './addresses.ts'
import type { CouponStatistics } from './coupon-statistics.ts'
import { sealerOf, userStates, type Keys, type Person } from './person.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)

export const addressView = z.object({ addressId: identifier, isDefault: z.boolean(), ...addressContent.shape })
export const couponsView = z.object({
  issued: z.int(),
  redeemed: z.int(),
  returned: z.int(),
  expired: z.int(),
  available: z.int(),
  used: z.int(),
  savedCents: z.int(),
  lastAt: z.string().nullable(),
})

const shown = {
  userId: identifier,
  state: z.enum(userStates),
  name: z.string().nullable(),
  email: z.string().nullable(),
  phone: z.string().nullable(),
  locale: z.string().nullable(),
}
export const profileView = z.object({
  ...shown,
  version: z.int(),
  addresses: z.int(),
  coupons: couponsView,
  createdAt: z.string().nullable(),
  updatedAt: z.string().nullable(),
})
export const staffView = z.object({
  ...shown,
  /** False: personal data is masked. */
  revealed: z.boolean(),
  createdAt: z.string(),
  updatedAt: z.string(),
  stateAt: z.string(),
  erasureDueAt: z.string().nullable(),
})
export const staffDetailView = staffView.extend({ addresses: z.array(addressView), coupons: couponsView })
export const contactView = z.object(shown)
export const exportView = z.object({
  exportedAt: z.string(),
  profile: profileView,
  addresses: z.array(addressView),
})

export type Shown = z.output<typeof contactView>

/** In plain text. */
export function openPerson(person: Person, keys: Keys): Shown {
  const { userId, state, locale } = person
  if (person.dataKey === null) return { userId, state, name: null, email: null, phone: null, locale: null }
  const sealer = sealerOf(person, keys)
  return {
    userId,
    state,
    name: sealer.open('name'),
    email: sealer.open('email'),
    phone: sealer.open('phone'),
    locale,
  }
}

export function maskPerson(person: Shown): Shown {
  const { name, email, phone } = person
  return {
    ...person,
    name: name === null ? null : maskName(name),
    email: email === null ? null : maskContact('email', email),
    phone: phone === null ? null : maskContact('phone', phone),
  }
}

export function maskAddress(address: Address): Address {
  const mask = (text: string | null) => (text === null ? null : maskText(text))
  return {
    ...address,
    recipient: maskName(address.recipient),
    phone: address.phone === null ? null : maskContact('phone', address.phone),
    street: maskText(address.street),
    extra: mask(address.extra),
    postalCode: mask(address.postalCode),
  }
}

const isoOf = (ms: number) => new Date(ms).toISOString()

export const showProfile = (person: Person, addresses: number, coupons: CouponStatistics, keys: Keys) => ({
  ...openPerson(person, keys),
  version: person.version,
  addresses,
  coupons,
  createdAt: isoOf(person.createdAtMs),
  updatedAt: isoOf(person.updatedAtMs),
})

/** Somebody with a token of whom nothing is stored yet. */
export const emptyProfile = (userId: string, coupons: CouponStatistics): z.output<typeof profileView> => ({
  userId,
  state: 'active',
  name: null,
  email: null,
  phone: null,
  locale: null,
  version: 0,
  addresses: 0,
  coupons,
  createdAt: null,
  updatedAt: null,
})

export function showToStaff(person: Person, revealed: boolean, keys: Keys): z.output<typeof staffView> {
  const plain = openPerson(person, keys)
  return {
    ...(revealed ? plain : maskPerson(plain)),
    revealed,
    createdAt: isoOf(person.createdAtMs),
    updatedAt: isoOf(person.updatedAtMs),
    stateAt: isoOf(person.stateAtMs),
    erasureDueAt: person.erasureDueAtMs === null ? null : isoOf(person.erasureDueAtMs),
  }
}
