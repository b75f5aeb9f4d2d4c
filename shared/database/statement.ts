/**
 * Statements are declared by name, with their text. A statement of a tenant can only be declared when its text keeps to the tenant
 * (see `statement-types.ts`), and only be run through `forTenant`, which sets `:tenantId` itself. What has to cross tenants is a
 * statement of the platform, and says why.
 *
 *   const findStock = tenantStatement(
 *     'inventory.findStock',
 *     'SELECT on_hand FROM inventory_stocks WHERE tenant_id = :tenantId AND variant_id = :variantId',
 *   )
 *   const row = await database.forTenant(tenantId).row(findStock, { variantId })
 */
import { compileStatement, type CompiledStatement } from './compile-statement.ts'
import type { OfOneTenant, PlatformParameters, TenantParameters } from './statement-types.ts'

/** For the compiler only: which values a statement takes. */
declare const parametersOf: unique symbol

type Declared<Kind extends 'tenant' | 'platform', Parameters> = {
  readonly kind: Kind
  /** `<function>.<what it does>`. */
  readonly name: string
  readonly sql: string
  /** Why it crosses tenants; empty for a tenant's. */
  readonly reason: string
  readonly compiled: CompiledStatement
  readonly [parametersOf]?: (parameters: Parameters) => void
}

export type TenantStatement<Parameters = never> = Declared<'tenant', Parameters>
export type PlatformStatement<Parameters = never> = Declared<'platform', Parameters>

/** All that this process has declared: what the proof of `functions/tenant-statements.test.ts` goes through. */
const declared = new Map<string, TenantStatement | PlatformStatement>()

export const declaredStatements = (): readonly (TenantStatement | PlatformStatement)[] => [...declared.values()]

/**
 * A statement that reads and writes rows of one tenant. Values are `:name`, lists `IN (:names)`; `:tenantId` is set by whoever runs it.
 * An INSERT with one `VALUES (…)` can take many rows (`changeAll`).
 */
export function tenantStatement<const Sql extends string>(
  name: string,
  sql: Sql & OfOneTenant<Sql>,
): TenantStatement<TenantParameters<Sql>> {
  return declare({ kind: 'tenant', name, sql, reason: '', compiled: compileStatement(name, sql) })
}

/** A statement that by its nature is not of one tenant; `reason` says why, and a test lists all of them. */
export function platformStatement<const Sql extends string>(
  name: string,
  sql: Sql,
  reason: string,
): PlatformStatement<PlatformParameters<Sql>> {
  if (reason.length < 10) throw new TypeError(`the statement ${name} crosses tenants and does not say why`)
  return declare({ kind: 'platform', name, sql, reason, compiled: compileStatement(name, sql) })
}

function declare<Statement extends TenantStatement | PlatformStatement>(statement: Statement): Statement {
  const known = declared.get(statement.name)
  // The inbox of a function is declared by each of its connections.
  if (known && (known.sql !== statement.sql || known.kind !== statement.kind)) {
    throw new TypeError(`there are two statements with the name ${statement.name}`)
  }
  declared.set(statement.name, statement)
  return statement
}
