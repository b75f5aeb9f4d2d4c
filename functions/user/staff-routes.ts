/** HTTP of user: what staff and other functions may see and do. Personal data is masked unless it is revealed, which is recorded. */
import { z } from 'zod'
import { actorOf, auditEvent } from '@stampede/shared/audit/audit-event.ts'
import { accessProblem } from '@stampede/shared/function/authorise.ts'
import { route, type Principal } from '@stampede/shared/function/declaration.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { normaliseContact } from '@stampede/shared/personal-data/contact.ts'
import { readAddresses } from './address-store.ts'
import { openAddresses } from './addresses.ts'
import { activate, auditOf, deactivate, erase, lockExisting, type Doing } from './change-person.ts'
import { readCoupons } from './coupon-statistics.ts'
import { userStates, type Person } from './person.ts'
import { findByContact, findPerson, listPeople } from './store.ts'
import type { Users } from './user.ts'
import { contactView, maskAddress, openPerson, showToStaff, staffDetailView, staffView } from './view.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const params = z.object({ userId: identifier })
const reading = { auth: 'staff', permission: 'users.read' } as const
const managing = { auth: 'staff', permission: 'users.manage' } as const
const reason = z.strictObject({ reason: z.string().trim().min(1).max(200) })

async function requireReveal(users: Users, principal: Principal): Promise<void> {
  const verdict =
    users.access.checkSync(principal, 'users.reveal') ?? (await users.access.check(principal, 'users.reveal'))
  if (verdict !== 'allowed') throw accessProblem(verdict, 'users.reveal')
}

type StateWork = (context: ChangeContext, person: Person, doing: Doing, reason: string) => Promise<Person>

const stateRoute = (path: string, summary: string, work: StateWork) =>
  route(
    'POST',
    `/api/v1/users/:userId/${path}`,
    { ...managing, summary, params, body: reason, reply: staffView, problems: ['not-found', 'conflict'] },
    async ({ params: { userId }, body, principal }, users: Users) => {
      const doing = { userId, actor: actorOf(principal), keys: users.keys }
      const person = await users.changeState(principal.tenantId, doing.actor, async (context) =>
        work(context, await lockExisting(context, userId), doing, body.reason),
      )
      return showToStaff(person, false, users.keys)
    },
  )

export const staffRoutes = [
  route(
    'GET',
    '/api/v1/users',
    {
      ...reading,
      summary: 'People, by user id, masked; or those with exactly this e-mail address or telephone number.',
      query: z.object({
        email: z.string().max(320).optional(),
        phone: z.string().max(40).optional(),
        state: z.enum(userStates).optional(),
        cursor: identifier.optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ users: z.array(staffView), nextCursor: z.string().nullable() }),
    },
    async ({ query, principal: { tenantId } }, users: Users) => {
      await users.schema()
      const tenant = users.database.forTenant(tenantId)
      const page = { after: query.cursor ?? '', limit: query.limit }
      const contact = contactOf(query)
      const people = contact
        ? await findByContact(tenant, contact.kind, {
            ...page,
            indexes: users.keys.index.all(contact.kind, tenantId, contact.value),
          })
        : await listPeople(tenant, { ...page, state: query.state ?? null })
      return {
        users: people.map((person) => showToStaff(person, false, users.keys)),
        nextCursor: people.length === query.limit ? (people.at(-1)?.userId ?? null) : null,
      }
    },
  ),
  route(
    'GET',
    '/api/v1/users/:userId',
    {
      ...reading,
      summary: 'One person, masked. "reveal=true" shows the plain data, needs users.reveal, and is recorded.',
      params,
      query: z.object({ reveal: z.enum(['true', 'false']).default('false') }),
      reply: staffDetailView,
      problems: ['not-found'],
    },
    async ({ params: { userId }, query, principal }, users: Users) => {
      const revealed = query.reveal === 'true'
      if (revealed) await requireReveal(users, principal)
      await users.schema()
      const tenant = users.database.forTenant(principal.tenantId)
      const person = await findPerson(tenant, userId)
      if (!person) throw new Problem('not-found', `There is no user ${userId}.`)
      // Before anything is shown.
      if (revealed) {
        const doing = { userId, actor: actorOf(principal), keys: users.keys }
        await users.change(principal.tenantId, principal.userId, (context) =>
          context.outbox.add(context.tx, [auditOf(context, doing, 'user.revealed')]),
        )
      }
      const [rows, coupons] = await Promise.all([readAddresses(tenant, userId), readCoupons(tenant, userId)])
      const addresses = openAddresses(person, rows, users.keys)
      return {
        ...showToStaff(person, revealed, users.keys),
        addresses: revealed ? addresses : addresses.map(maskAddress),
        coupons,
      }
    },
  ),
  stateRoute(
    'deactivation',
    'Deactivates an account: its tokens are void within a second.',
    (context, person, doing, why) => deactivate(context, person, doing, { reason: why }),
  ),
  stateRoute('activation', 'Activates a deactivated account; an erasure that is not due yet is forgotten.', activate),
  stateRoute('erasure', 'Erases the personal data of somebody now, for good. Orders stay valid without it.', erase),
  route(
    'GET',
    '/api/v1/users/:userId/contact',
    {
      auth: 'service',
      summary: 'Name and contacts of somebody, for functions that write to them.',
      params,
      reply: contactView,
      problems: ['not-found'],
    },
    async ({ params: { userId }, principal: { tenantId } }, users: Users) => {
      await users.schema()
      const person = await findPerson(users.database.forTenant(tenantId), userId)
      if (!person || person.state === 'erased') throw new Problem('not-found', `There is no user ${userId}.`)
      return openPerson(person, users.keys)
    },
  ),
  route(
    'POST',
    '/api/v1/user-key-rotations',
    {
      auth: 'staff',
      permission: 'platform.keys',
      summary: 'Brings people from old keys under the current one now, a bounded number. The clock does it, too.',
      reply: rotationView(),
      timeoutMs: 60_000,
    },
    async ({ principal }, users: Users) => {
      const rotation = await users.rotate()
      await users.change(principal.tenantId, principal.userId, (context) =>
        context.outbox.add(context.tx, [
          auditEvent({
            by: 'user',
            tenantId: principal.tenantId,
            actor: actorOf(principal),
            action: 'user-keys.rotated',
            subject: `key/${rotation.currentKeyIds.data}`,
            details: { rotated: rotation.rotated.data, left: rotation.left.data, failed: rotation.failed },
            atMs: context.now(),
          }),
        ]),
      )
      return rotation
    },
  ),
]

function rotationView() {
  const counts = z.object({ data: z.int(), index: z.int() })
  const byKey = z.record(z.string(), z.int())
  return z.object({
    currentKeyIds: z.object({ data: z.string(), index: z.string() }),
    rotated: counts,
    failed: z.int(),
    left: counts,
    people: z.object({ data: byKey, index: byKey }),
  })
}

function contactOf(query: { email?: string | undefined; phone?: string | undefined }) {
  const [kind, text] = query.email === undefined ? (['phone', query.phone] as const) : (['email', query.email] as const)
  if (text === undefined) return undefined
  const value = normaliseContact(kind, text)
  if (value !== undefined) return { kind, value }
  throw new Problem('invalid-request', 'The look-up is not valid.', {
    errors: [
      {
        pointer: `/${kind}`,
        detail:
          kind === 'email'
            ? 'is not an e-mail address'
            : 'is not a telephone number with its country, like +49 170 1234567',
      },
    ],
  })
}
