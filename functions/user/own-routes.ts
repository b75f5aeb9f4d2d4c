/** HTTP of user: what people do with their own data. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { actorOf } from '@stampede/shared/audit/audit-event.ts'
import { Reply, route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { readAddresses } from './address-store.ts'
import { addressInput, openAddresses, removeAddress, saveAddress } from './addresses.ts'
import { changeProfile, deactivate, erase, lockOrCreate } from './change-person.ts'
import { readCoupons } from './coupon-statistics.ts'
import { findPerson } from './store.ts'
import type { Users } from './user.ts'
import { addressView, emptyProfile, exportView, profileView, showProfile } from './view.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const addressParams = z.object({ addressId: identifier })
const user = { auth: 'user' } as const

const stateView = z.object({
  state: z.enum(['active', 'deactivated', 'erased']),
  erasureDueAt: z.string().nullable(),
})

/** Nobody who was erased: their row is there, and nothing else is. */
async function readOwn(users: Users, tenantId: string, userId: string) {
  await users.schema()
  const tenant = users.database.forTenant(tenantId)
  const person = await findPerson(tenant, userId)
  if (person?.state === 'erased') throw new Problem('not-found', 'The account was erased.')
  const [rows, coupons] = await Promise.all([readAddresses(tenant, userId), readCoupons(tenant, userId)])
  return {
    profile: person ? showProfile(person, rows.length, coupons, users.keys) : emptyProfile(userId, coupons),
    addresses: person ? openAddresses(person, rows, users.keys) : [],
  }
}

export const ownRoutes = [
  route(
    'GET',
    '/api/v1/users/me',
    { ...user, summary: 'The own profile.', reply: profileView, problems: ['not-found'] },
    async ({ principal: { tenantId, userId } }, users: Users) => (await readOwn(users, tenantId, userId)).profile,
  ),
  route(
    'PATCH',
    '/api/v1/users/me',
    {
      ...user,
      summary: 'Changes the own profile. Contacts are changed where they are proved.',
      body: z.strictObject({
        version: z.int().min(0).optional(),
        name: z.string().trim().min(1).max(100).nullable().optional(),
        locale: z
          .string()
          .regex(/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$/)
          .nullable()
          .optional(),
      }),
      reply: profileView,
      problems: ['conflict', 'not-found'],
    },
    async ({ body, principal: { tenantId, userId } }, users: Users) => {
      await users.change(tenantId, userId, (context) => changeProfile(context, userId, body, users.keys))
      return (await readOwn(users, tenantId, userId)).profile
    },
  ),
  route(
    'GET',
    '/api/v1/users/me/addresses',
    { ...user, summary: 'The own addresses, the oldest first.', reply: z.object({ addresses: z.array(addressView) }) },
    async ({ principal: { tenantId, userId } }, users: Users) => ({
      addresses: (await readOwn(users, tenantId, userId)).addresses,
    }),
  ),
  route(
    'POST',
    '/api/v1/users/me/addresses',
    {
      ...user,
      summary: 'Adds an address; at most 50. The first one is the default.',
      body: addressInput,
      reply: addressView,
      status: 201,
      problems: ['conflict', 'unprocessable'],
    },
    ({ body, principal: { tenantId, userId } }, users: Users) => {
      const address = { addressId: randomUUID(), input: body, mustExist: false }
      return users.change(tenantId, userId, (context) => saveAddress(context, userId, address, users.keys))
    },
  ),
  route(
    'GET',
    '/api/v1/users/me/addresses/:addressId',
    {
      ...user,
      summary: 'One of the own addresses.',
      params: addressParams,
      reply: addressView,
      problems: ['not-found'],
    },
    async ({ params, principal: { tenantId, userId } }, users: Users) => {
      const { addresses } = await readOwn(users, tenantId, userId)
      const found = addresses.find(({ addressId }) => addressId === params.addressId)
      if (!found) throw new Problem('not-found', `There is no address ${params.addressId}.`)
      return found
    },
  ),
  route(
    'PUT',
    '/api/v1/users/me/addresses/:addressId',
    {
      ...user,
      summary: 'Replaces an address. "isDefault" makes it the default; another one stops being it.',
      params: addressParams,
      body: addressInput,
      reply: addressView,
      problems: ['not-found', 'conflict'],
    },
    ({ params, body, principal: { tenantId, userId } }, users: Users) => {
      const address = { addressId: params.addressId, input: body, mustExist: true }
      return users.change(tenantId, userId, (context) => saveAddress(context, userId, address, users.keys))
    },
  ),
  route(
    'DELETE',
    '/api/v1/users/me/addresses/:addressId',
    {
      ...user,
      summary: 'Deletes an address. After the default the oldest one is it.',
      params: addressParams,
      status: 204,
      problems: ['not-found', 'conflict'],
    },
    async ({ params, principal: { tenantId, userId } }, users: Users) => {
      await users.change(tenantId, userId, (context) => removeAddress(context, userId, params.addressId, users.keys))
      return new Reply(204, undefined)
    },
  ),
  route(
    'GET',
    '/api/v1/users/me/export',
    {
      ...user,
      summary: 'Everything that is stored here about the caller, as a file. Orders are exported where they are kept.',
      reply: exportView,
      problems: ['not-found'],
    },
    async ({ principal: { tenantId, userId } }, users: Users) => {
      const own = await readOwn(users, tenantId, userId)
      const body = { exportedAt: new Date(users.now()).toISOString(), ...own }
      return new Reply(200, body, { 'content-disposition': 'attachment; filename="personal-data.json"' })
    },
  ),
  route(
    'POST',
    '/api/v1/users/me/deactivation',
    {
      ...user,
      summary: 'Deactivates the own account: nobody can use it until staff activate it again.',
      reply: stateView,
      problems: ['conflict'],
    },
    async ({ principal }, users: Users) => {
      const { tenantId, userId } = principal
      const doing = { userId, actor: actorOf(principal), keys: users.keys }
      const person = await users.changeState(tenantId, doing.actor, async (context) =>
        deactivate(context, await lockOrCreate(context, userId, users.keys), doing),
      )
      return stateOf(person)
    },
  ),
  route(
    'POST',
    '/api/v1/users/me/erasure',
    {
      ...user,
      summary:
        'Asks for the own data to be erased: the account is deactivated at once, and erased after a time in which staff can activate it again.',
      reply: stateView,
      status: 202,
      problems: ['conflict'],
    },
    async ({ principal }, users: Users) => {
      const { tenantId, userId } = principal
      const { keys, erasureGraceMs } = users
      const doing = { userId, actor: actorOf(principal), keys }
      const person = await users.changeState(tenantId, doing.actor, async (context) => {
        const before = await lockOrCreate(context, userId, keys)
        if (erasureGraceMs === 0) return erase(context, before, doing, undefined)
        return deactivate(context, before, doing, { erasureDueAtMs: context.now() + erasureGraceMs })
      })
      return stateOf(person)
    },
  ),
]

const stateOf = (person: { state: 'active' | 'deactivated' | 'erased'; erasureDueAtMs: number | null }) => ({
  state: person.state,
  erasureDueAt: person.erasureDueAtMs === null ? null : new Date(person.erasureDueAtMs).toISOString(),
})
