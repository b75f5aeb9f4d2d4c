/** Everybody whom a route must refuse, with the tokens to try it, and those whom it must not. */
import { permissions, platformAdministrator, platformPermissions } from '../access/permissions.ts'
import type { Permission } from '../access/permissions.ts'
import type { AccessDirectory } from '../access/types.ts'
import type { RoutePolicy } from '../function/declaration.ts'
import { platformTenant } from '../identity/service-token.ts'
import type { TestIdentity, TestPerson } from './identity.ts'

export type Caller = {
  caller: string
  token: string | undefined
  /** `allowed`: neither 401 nor 403. */
  expected: Answer | 'allowed'
}
export type Answer = { status: number; code: string }

const unauthenticated: Answer = { status: 401, code: 'unauthenticated' }
const forbidden: Answer = { status: 403, code: 'forbidden' }
const suspended: Answer = { status: 403, code: 'tenant-suspended' }
const unknown: Answer = { status: 503, code: 'dependency-unavailable' }

export type MatrixCallers = {
  of(policy: RoutePolicy): Promise<Caller[]>
  /** Whose token is not right on a public route either; hot routes and mounts decide themselves. */
  onPublicRoutes(): Promise<Caller[]>
  /** To be asked when the directory is not complete. */
  whenIncomplete(policy: RoutePolicy): Promise<Caller[]>
}

const without = (permission: Permission) => `all-but-${permission.replace('.', '-')}`
const withOnly = (permission: Permission) => `only-${permission.replace('.', '-')}`

/** Writes what these callers need into the directory; the ids are made with `unique`, so that nobody else's facts are touched. */
export async function createMatrixCallers(
  identity: TestIdentity,
  directory: AccessDirectory,
  unique: string,
  atGateway = false,
): Promise<MatrixCallers> {
  const tenantId = `active-${unique}`
  const nowMs = Date.now()
  const active = { state: 'active', quota: {}, version: 1_000 } as const
  const rolesOf = (all: readonly Permission[]) =>
    Object.fromEntries(
      permissions.flatMap((one) => [
        [without(one), all.filter((other) => other !== one)],
        [withOnly(one), [one]],
      ]),
    )
  await directory.putTenant(tenantId, active)
  await directory.putTenant(platformTenant, active)
  await directory.putTenant(`suspended-${unique}`, { ...active, state: 'suspended' })
  await directory.putTenant(`closed-${unique}`, { ...active, state: 'closed' })
  // With the platform's permissions, too, as if a tenant had found a way to give them to itself.
  await directory.putRoles(tenantId, { roles: rolesOf(permissions), version: 1_000 })
  await directory.putRoles(platformTenant, { roles: rolesOf(permissions), version: nowMs })
  const people = (name: string) => `${name}-${unique}`
  let count = 0
  /** Whoever gets in may change what is true of them: nobody else shall feel it. */
  const somebody = () => people(`somebody-${(count += 1)}`)
  for (const tenant of [tenantId, platformTenant]) {
    await directory.correct(tenant, people('deactivated'), { atMs: nowMs, blocked: true })
    await directory.correct(tenant, people('revoked'), { atMs: nowMs, revokedSessions: [people('session')] })
    await directory.correct(tenant, people('signed-out'), { atMs: nowMs - 5_000, signedOut: true })
    await directory.correct(tenant, people('demoted'), { atMs: nowMs, roles: [] })
  }
  const administrator = { tenantId, roles: ['administrator'] }
  const invalid = await identity.invalidTokens(administrator)

  const caller = async (name: string, expected: Caller['expected'], person: TestPerson): Promise<Caller> => ({
    caller: name,
    token: await identity.token({ tenantId, userId: somebody(), issuedAtMs: nowMs - 10_000, ...person }),
    expected,
  })
  const service = async (expected: Caller['expected']): Promise<Caller> => ({
    caller: 'a service',
    token: await identity.serviceToken(tenantId),
    expected,
  })
  const notValid = (): Caller[] => [
    { caller: 'no token', token: undefined, expected: unauthenticated },
    ...Object.entries(invalid).map(([name, token]) => ({ caller: name, token, expected: unauthenticated })),
  ]
  /** Their tokens are valid, and not true any more. `home`: where the roles are enough for the route. */
  const overtaken = async (home: string, roles: readonly string[]): Promise<Caller[]> =>
    Promise.all([
      caller('somebody deactivated', unauthenticated, { tenantId: home, userId: people('deactivated'), roles }),
      caller('a revoked session', unauthenticated, {
        tenantId: home,
        userId: people('revoked'),
        sessionId: people('session'),
        roles,
      }),
      caller('somebody signed out everywhere', unauthenticated, {
        tenantId: home,
        userId: people('signed-out'),
        roles,
      }),
      caller('somebody of a suspended tenant', suspended, { tenantId: `suspended-${unique}`, roles }),
      caller('somebody of a closed tenant', suspended, { tenantId: `closed-${unique}`, roles }),
      caller('somebody of a tenant that does not exist', suspended, { tenantId: `nowhere-${unique}`, roles }),
    ])

  const forStaff = async (permission: Permission): Promise<Caller[]> => {
    const ofPlatform = platformPermissions.has(permission)
    const home = ofPlatform ? platformTenant : tenantId
    const roles = [ofPlatform ? platformAdministrator : 'administrator']
    return Promise.all([
      caller('a user', forbidden, { tenantId: home }),
      caller('a user who claims to be a service', forbidden, { tenantId: home, roles: ['service'] }),
      caller('staff of before there were permissions', forbidden, { tenantId: home, roles: ['staff'] }),
      caller('a role with every other permission', forbidden, { tenantId: home, roles: [without(permission)] }),
      caller('somebody whose roles were taken away', forbidden, { tenantId: home, userId: people('demoted'), roles }),
      service(atGateway ? unauthenticated : forbidden),
      ...(ofPlatform
        ? [
            caller('the administrator of a tenant', forbidden, administrator),
            caller('an administrator of the platform’s name in a tenant', forbidden, {
              roles: [platformAdministrator],
            }),
            caller('a tenant’s own role with the platform’s permission', forbidden, { roles: [withOnly(permission)] }),
          ]
        : [caller('the platform’s role in a tenant', forbidden, { roles: [platformAdministrator] })]),
      caller('a role with this permission alone', 'allowed', { tenantId: home, roles: [withOnly(permission)] }),
    ]).then(async (wrong) => [...wrong, ...(await overtaken(home, roles))])
  }

  return {
    async whenIncomplete({ auth, permission }) {
      if (auth !== 'user' && auth !== 'staff') return []
      // The platform's own tenant is always known.
      if (permission !== undefined && platformPermissions.has(permission)) return []
      const roles = auth === 'staff' ? ['administrator'] : []
      return [await caller('somebody of whom nothing is known', unknown, { tenantId: `nowhere-${unique}`, roles })]
    },
    async of(policy) {
      if (policy.auth === 'public') return []
      if (policy.auth === 'staff') return [...notValid(), ...(await forStaff(policy.permission))]
      if (policy.auth === 'user') {
        return [
          ...notValid(),
          await service(atGateway ? unauthenticated : forbidden),
          ...(await overtaken(tenantId, [])),
          await caller('a user', 'allowed', {}),
        ]
      }
      return [
        ...notValid(),
        await caller('a user', forbidden, {}),
        await caller('an administrator', forbidden, administrator),
        await caller('a user who claims to be a service', forbidden, { roles: ['service'] }),
        await service('allowed'),
      ]
    },
    onPublicRoutes: async () => [
      ...notValid().filter(({ token }) => token !== undefined),
      ...(await overtaken(tenantId, [])),
    ],
  }
}
