import test from 'ava'
import * as fc from 'fast-check'
import { builtInRoles, permissions, platformPermissions, type Permission } from '@stampede/shared/access/permissions.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { decide } from './decide.ts'
import { maximumDepth, mustHoldAll, permissionsOfAll, resolveRoles, type Role, type RoleGraph } from './role-graph.ts'

const role = (name: string, own: readonly Permission[], inherits: readonly string[] = []): Role => ({
  role: name,
  description: '',
  permissions: own,
  inherits,
})
const detailOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof Problem) return `${error.problem}: ${error.detail}`
    throw error
  }
  return ''
}

test('roles – a role has what it inherits, also from those that are built in', (t) => {
  const graph = resolveRoles('acme', [
    role('cashier', ['orders.read'], ['viewer']),
    role('viewer', ['users.read'], ['operator']),
  ])
  t.deepEqual(
    [...graph.permissionsOf('cashier')!].sort(),
    [...new Set<Permission>(['users.read', 'orders.read', ...builtInRoles['operator']!])].sort(),
  )
  t.deepEqual(graph.pathTo('cashier', 'stocks.manage'), ['cashier', 'viewer', 'operator'])
  t.is(graph.pathTo('cashier', 'audit.read'), undefined)
  t.is(graph.permissionsOf('nobody'), undefined)
})

test('roles – a cycle is named', (t) => {
  const cycle = [role('a', [], ['b']), role('b', [], ['c']), role('c', [], ['a'])]
  t.is(
    detailOf(() => resolveRoles('acme', cycle)),
    'unprocessable: Roles cannot inherit from themselves: a → b → c → a.',
  )
  t.regex(
    detailOf(() => resolveRoles('acme', [role('a', [], ['a'])])),
    /a → a/,
  )
})

test('roles – a chain that is too long, or to nowhere, is refused', (t) => {
  const chain = (length: number) =>
    Array.from({ length }, (_, index) => role(`r${index}`, [], index === 0 ? [] : [`r${index - 1}`]))
  t.notThrows(() => resolveRoles('acme', chain(maximumDepth)))
  t.regex(
    detailOf(() => resolveRoles('acme', chain(maximumDepth + 1))),
    /chain of 6 roles/,
  )
  t.regex(
    detailOf(() => resolveRoles('acme', [role('a', [], ['gone'])])),
    /no role gone/,
  )
})

test("roles – what is the platform's stays in the platform's own tenant", (t) => {
  const own = [role('spy', ['tenants.read'])]
  t.regex(
    detailOf(() => resolveRoles('acme', own)),
    /only staff of the platform/,
  )
  t.true(resolveRoles('platform', own).permissionsOf('spy')!.has('tenants.read'))
  t.regex(
    detailOf(() => resolveRoles('acme', [role('spy', [], ['platform-administrator'])])),
    /no role/,
  )
  t.is(resolveRoles('platform', []).permissionsOf('platform-administrator')!.size, permissions.length)
  for (const one of platformPermissions) t.false(resolveRoles('acme', []).permissionsOf('administrator')!.has(one))
})

test('roles – who does not hold everything is told what is missing', (t) => {
  t.notThrows(() => mustHoldAll(new Set(['orders.read', 'users.read']), new Set(['orders.read'])))
  const error = t.throws(() => mustHoldAll(new Set(['orders.read']), new Set(['orders.read', 'audit.read'])), {
    instanceOf: Problem,
  })
  t.deepEqual(error?.extensions, { missing: ['audit.read'] })
})

test('decision – says through which roles', (t) => {
  const graph = resolveRoles('acme', [role('viewer', [], ['auditor'])])
  t.deepEqual(decide(graph, ['support', 'viewer'], 'audit.read', 'active'), {
    allowed: true,
    because: { reason: 'granted', role: 'viewer', through: ['auditor'] },
  })
  t.like(decide(graph, ['support'], 'audit.read', 'active'), { allowed: false, because: { reason: 'no-role' } })
  t.like(decide(graph, ['viewer'], 'audit.read', 'suspended'), {
    allowed: false,
    because: { reason: 'tenant-suspended' },
  })
})

/** The same question answered by looking from the permission: is there any walk from the role to a role that has it? */
test('roles – for any graph without cycles resolution and path agree with a plain walk', (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const tenant = permissions.filter((one) => !platformPermissions.has(one))
  const graphs = fc.tuple(
    ...names.map((name, index) =>
      fc.record({
        permissions: fc.uniqueArray(fc.constantFrom(...tenant), { maxLength: 3 }),
        // Only earlier ones: no cycle is possible.
        inherits: fc.subarray([...names.slice(0, index), 'support']),
        name: fc.constant(name),
      }),
    ),
  )
  fc.assert(
    fc.property(graphs, (made) => {
      const roles = made.map(({ name, permissions: own, inherits }) => role(name, own, inherits))
      const byName = new Map(roles.map((one) => [one.role, one]))
      const reachable = (name: string): Permission[] => {
        const found = byName.get(name)
        return found ? [...found.permissions, ...found.inherits.flatMap(reachable)] : [...builtInRoles[name]!]
      }
      let graph: RoleGraph
      try {
        graph = resolveRoles('acme', roles)
      } catch {
        return // Too deep: another test.
      }
      for (const { role: name } of roles) {
        t.deepEqual([...graph.permissionsOf(name)!].sort(), [...new Set(reachable(name))].sort())
        for (const permission of tenant) {
          const path = graph.pathTo(name, permission)
          t.is(path !== undefined, graph.permissionsOf(name)!.has(permission))
          if (path)
            for (let at = 1; at < path.length; at++) t.true(byName.get(path[at - 1]!)!.inherits.includes(path[at]!))
        }
      }
      t.is(permissionsOfAll(graph, names).size, new Set(names.flatMap(reachable)).size)
    }),
    { numRuns: 200 },
  )
})
