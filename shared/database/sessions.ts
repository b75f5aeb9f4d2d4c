/**
 * The database as one tenant, or the platform, may use it. Both run only what was declared (`statement.ts`). A database that cannot be
 * reached is the Problem `dependency-unavailable`.
 */
import type { Connection, Pool, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import { bindRows, bindStatement, type Values } from './compile-statement.ts'
import { databaseProblem, isUnavailable } from './errors.ts'
import { literal } from './literal.ts'
import type { PlatformStatement, TenantStatement } from './statement.ts'

/** BIGINT above 2^53 and DECIMAL are strings, DATETIME a Date. */
export type Row = Readonly<Record<string, unknown>>

declare const bound: unique symbol
/** A statement with its values, for `transactionAtOnce`. */
export type BoundStatement = string & { readonly [bound]: true }

type Statements<Kind extends 'tenant' | 'platform', Parameters> = Kind extends 'tenant'
  ? TenantStatement<Parameters>
  : PlatformStatement<Parameters>

type Session<Kind extends 'tenant' | 'platform'> = {
  /** All rows of a SELECT. */
  rows<Parameters extends Values>(statement: Statements<Kind, Parameters>, values: NoInfer<Parameters>): Promise<Row[]>
  /** The first row of a SELECT. */
  row<Parameters extends Values>(
    statement: Statements<Kind, Parameters>,
    values: NoInfer<Parameters>,
  ): Promise<Row | undefined>
  /** Rows that an INSERT, UPDATE or DELETE affected; of an UPDATE all that matched. */
  change<Parameters extends Values>(
    statement: Statements<Kind, Parameters>,
    values: NoInfer<Parameters>,
  ): Promise<number>
  /** One INSERT of many rows; nothing happens for none. */
  changeAll<Parameters extends Values>(
    statement: Statements<Kind, Parameters>,
    rows: readonly NoInfer<Parameters>[],
  ): Promise<number>
  /** The statement with its values, to be sent together with others. */
  bind<Parameters extends Values>(statement: Statements<Kind, Parameters>, values: NoInfer<Parameters>): BoundStatement
  bindAll<Parameters extends Values>(
    statement: Statements<Kind, Parameters>,
    rows: readonly NoInfer<Parameters>[],
  ): BoundStatement
}

/** The database as one tenant may use it: rows of others are out of reach. */
export type TenantDatabase = Session<'tenant'> & { readonly tenantId: string }
export type PlatformDatabase = Session<'platform'>

/** The ways into the database, of a pool or of one transaction. */
export type Sessions = {
  forTenant(tenantId: string): TenantDatabase
  /** For statements that cross tenants. */
  forPlatform(): PlatformDatabase
}

const tenantPattern = /^[A-Za-z0-9_-]{1,64}$/

/** Without a connection, to bind statements that are sent later. */
export const bindForTenant = (tenantId: string): Pick<TenantDatabase, 'bind' | 'bindAll'> =>
  sessionOf<'tenant'>(undefined, tenantLiteral(tenantId))
export const bindForPlatform: Pick<PlatformDatabase, 'bind' | 'bindAll'> = sessionOf<'platform'>(undefined, undefined)

export function sessionsOf(executor: Pool | Connection): Sessions {
  const platform = sessionOf<'platform'>(executor, undefined)
  return {
    forTenant: (tenantId) => ({ tenantId, ...sessionOf<'tenant'>(executor, tenantLiteral(tenantId)) }),
    forPlatform: () => platform,
  }
}

function tenantLiteral(tenantId: string): string {
  if (!tenantPattern.test(tenantId)) throw new TypeError('a tenant id has 1 to 64 letters, digits, "_" and "-"')
  return literal(tenantId, 'forTenant', 'tenantId')
}

function sessionOf<Kind extends 'tenant' | 'platform'>(
  executor: Pool | Connection | undefined,
  tenant: string | undefined,
): Session<Kind> {
  type Any = TenantStatement | PlatformStatement
  // Types keep the kinds apart; this is for who goes around them, because the text of the other kind would run as well.
  const check = ({ kind, name }: Any) => {
    if ((kind === 'tenant') !== (tenant !== undefined)) throw new TypeError(`${name} is a statement of the ${kind}`)
  }
  const bind = (statement: Any, values: Values): BoundStatement => {
    check(statement)
    return bindStatement(statement.name, statement.compiled, values, tenant) as BoundStatement
  }
  const bindAll = (statement: Any, rows: readonly Values[]): BoundStatement => {
    check(statement)
    return bindRows(statement.name, statement.compiled, rows, tenant) as BoundStatement
  }
  const run = async <Result extends RowDataPacket[] | ResultSetHeader>(sql: BoundStatement): Promise<Result> => {
    if (!executor) throw new TypeError('there is no connection')
    // Without values (null, not undefined) the driver does not search the text for placeholders.
    try {
      const [result] = await executor.query<Result>(sql, null)
      return result
    } catch (error) {
      // Deadlocks and duplicate keys stay what they are: whoever runs the transaction knows what to do with them.
      throw isUnavailable(error) ? databaseProblem(error) : error
    }
  }
  const rows = async (statement: Any, values: Values): Promise<Row[]> => run<RowDataPacket[]>(bind(statement, values))
  const session: Session<'tenant'> = {
    rows,
    row: async (statement, values) => (await rows(statement, values))[0],
    change: async (statement, values) => (await run<ResultSetHeader>(bind(statement, values))).affectedRows,
    changeAll: async (statement, all) =>
      all.length === 0 ? 0 : (await run<ResultSetHeader>(bindAll(statement, all))).affectedRows,
    bind,
    bindAll,
  }
  return session as Session<Kind>
}
