/**
 * Proof that a statement reaches the rows of its tenant only. There are two databases: in one there are the tenants A and B with the
 * same rows under the same ids, in the other A alone. The statement is run for A, and for C who has nothing, with the values of many
 * rows, those of B among them. It passes when in both databases it answers the same and leaves the same rows of A, and when every
 * row of B is as it was. So that nothing passes by doing nothing, some of the runs have to find or change something.
 */
import mysql, { type Connection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import { migrate, type Migration } from '../../database/migrate.ts'
import { connectDatabase } from '../../database/connect.ts'
import { bindForTenant } from '../../database/sessions.ts'
import type { TenantStatement } from '../../database/statement.ts'
import type { SqlValue } from '../../database/statement-types.ts'
import { freshDatabase } from '../services.ts'
import { literalsIn, planOf, tablesOf, type ParameterPlan } from './parameters.ts'
import { highest, isMissing, lowest, nowMs, readTables, valueOf, type RowOptions, type Table } from './rows.ts'

export type ProofOptions = {
  functions: readonly { name: string; migrations: readonly Migration[] }[]
  /** All that will be proven: what they compare columns with decides what is in the rows. */
  statements: readonly TenantStatement[]
  /** Values of rows that cannot be guessed, by table. */
  rows: RowOptions['fixed']
  /** Values of parameters that cannot be guessed, by statement. */
  parameters: Readonly<Record<string, Values>>
  globalIds: readonly string[]
}
type Values = Readonly<Record<string, SqlValue | readonly SqlValue[] | ((found: SqlValue) => SqlValue)>>

export type TenantProof = {
  /** Those with a `tenant_id`. */
  tables: readonly Table[]
  /** Names of the others. */
  tablesOfPlatform: readonly string[]
  /** What is wrong with the statement; nothing when it is proven. */
  prove(statement: TenantStatement): Promise<string[]>
  close(): Promise<void>
}

const [tenantA, tenantB, tenantC] = ['tenant-a', 'tenant-b', 'tenant-c']
const rowsEach = 12
/** Rows that only B has, and a number that nobody has. */
const rowsOfBOnly = 2
const freshNumber = 40

export async function openTenantProof(options: ProofOptions): Promise<TenantProof> {
  const [both, alone] = await Promise.all([openDatabase(options), openDatabase(options)])
  const allTables = await readTables(both.connection)
  const tables = allTables.filter(({ columns }) => columns.some(({ name }) => name === 'tenant_id'))
  const literals = new Map<string, string[]>()
  for (const statement of options.statements) {
    for (const { column, value } of literalsIn(statement.sql.replaceAll(/\s+/g, ' '))) {
      for (const table of tablesOf(statement, tables)) {
        const path = `${table.name}.${column}`
        literals.set(path, [...new Set([...(literals.get(path) ?? []), value])])
      }
    }
  }
  const rowOptions: RowOptions = { literals, fixed: options.rows, globalIds: new Set(options.globalIds) }
  for (const table of tables) {
    await insertRows(both.connection, table, tenantA, rowsEach, rowOptions)
    await insertRows(both.connection, table, tenantB, rowsEach + rowsOfBOnly, rowOptions)
    await insertRows(alone.connection, table, tenantA, rowsEach, rowOptions)
  }

  /** Every set of values that is tried, once. */
  const valuesFor = (plan: readonly ParameterPlan[], given: Values): Record<string, unknown>[] => {
    const numbers = [...Array.from({ length: rowsEach + rowsOfBOnly }, (_, number) => number), freshNumber]
    const all = [tenantA, tenantB].flatMap((tenantId) =>
      numbers.flatMap((number) =>
        [false, true].map((filled) =>
          Object.fromEntries(
            plan.map((parameter) => [
              parameter.name,
              parameterValue(parameter, { number, tenantId, filled, given: given[parameter.name] }, rowOptions),
            ]),
          ),
        ),
      ),
    )
    return [...new Map(all.map((values) => [JSON.stringify(values), values])).values()]
  }

  return {
    tables,
    tablesOfPlatform: allTables.filter((table) => !tables.includes(table)).map(({ name }) => name),
    prove: async (statement) => {
      const own = tablesOf(statement, tables)
      if (own.length === 0) return ['reads no table with a tenant_id']
      const given = options.parameters[statement.name] ?? {}
      const plan = planOf(statement, tables)
      const unknown = plan.filter(({ name, kind }) => kind.of === 'unknown' && given[name] === undefined)
      if (unknown.length > 0) return unknown.map(({ name }) => `give the proof a value for :${name}`)
      const complaints = new Set<string>()
      let effective = false
      const rowsOfB = []
      for (const look of looksAt(own, tenantB)) rowsOfB.push((await both.connection.query<RowDataPacket[]>(look))[0])
      const untouched = textOf(rowsOfB)
      for (const tenantId of [tenantA, tenantC]) {
        for (const values of valuesFor(plan, given)) {
          const [one, other] = await Promise.all([
            tryStatement(both.connection, statement, tenantId, values, own),
            tryStatement(alone.connection, statement, tenantId, values, own),
          ])
          effective ||= one.effective
          // An id that is unique over all tenants is taken: that is told, and nothing else.
          if (one.answer === 'duplicate' && other.answer !== 'duplicate' && isGlobal(own, options.globalIds)) continue
          const say = (what: string) => complaints.add(`${what}, as ${tenantId} with ${JSON.stringify(values)}`)
          if (one.ofB !== undefined && one.ofB !== untouched) say('changes rows of another tenant')
          if (one.answer !== other.answer) say('answers otherwise when another tenant has rows')
          if (one.ofTenant !== other.ofTenant) say('leaves other rows when another tenant has rows')
          if (complaints.size >= 3) return [...complaints]
        }
      }
      if (!effective)
        complaints.add('found and changed nothing in all tries: give the proof rows or values that fit it')
      return [...complaints]
    },
    close: async () => {
      await Promise.all([both.close(), alone.close()])
    },
  }
}

async function openDatabase({ functions }: ProofOptions) {
  const fresh = await freshDatabase()
  const database = connectDatabase(fresh.url)
  for (const { name, migrations } of functions) await migrate(database, name, migrations)
  await database.close()
  const connection = await mysql.createConnection({
    uri: fresh.url,
    charset: 'utf8mb4',
    timezone: 'Z',
    supportBigNumbers: true,
    multipleStatements: true,
  })
  // One moment for all: what statements write by themselves is then the same in both databases.
  await connection.query(
    `SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES', timestamp = ${nowMs / 1_000}, autocommit = 1`,
  )
  return {
    connection,
    close: async () => {
      await connection.end()
      await fresh.drop()
    },
  }
}

const duplicateEntry = 1062
/** Not null, check, out of range: values of another column may not fit. */
const constraintNumbers = new Set([1048, 4025, 3819, 1690, 1264])

async function insertRows(
  connection: Connection,
  table: Table,
  tenantId: string,
  count: number,
  options: RowOptions,
): Promise<void> {
  const columns = table.columns.filter((column) => !column.generated)
  for (let number = 0; number < count; number++) {
    if (tenantId === tenantA && isMissing(table.name, number)) continue
    const values = columns.map((column) => valueOf(table.name, column, number, tenantId, options))
    try {
      await connection.query('INSERT INTO ?? (??) VALUES (?)', [table.name, columns.map(({ name }) => name), values])
    } catch (error) {
      // A table of one row for each tenant has its row.
      if ((error as { errno?: number }).errno !== duplicateEntry)
        throw new Error(`the proof needs other values for ${table.name}: ${(error as Error).message}`, { cause: error })
    }
  }
}

function parameterValue(
  { list, optional, kind }: ParameterPlan,
  source: { number: number; tenantId: string; filled: boolean; given: Values[string] | undefined },
  options: RowOptions,
): unknown {
  const { number, tenantId, filled, given } = source
  if (given !== undefined && typeof given !== 'function') return given
  if (optional && !filled) return null
  if (kind.of !== 'column') return kind.of === 'number' ? kind.value : null
  const { table, column, choose } = kind
  const found = valueOf(table, column, number, tenantId, options)
  if (typeof given === 'function') return given(found)
  if (choose === 'lower') return lowest(column)
  if (choose === 'higher') return highest(column)
  const value = choose === 'other' ? highest(column) : found
  return list ? [value] : value
}

type Outcome = { answer: string; effective: boolean; ofTenant: string; ofB: string | undefined }

/** Runs the statement, looks at the tables and takes it back, in one round trip: there are tens of thousands of these. */
async function tryStatement(
  connection: Connection,
  statement: TenantStatement,
  tenantId: string,
  values: Record<string, unknown>,
  tables: readonly Table[],
): Promise<Outcome> {
  const sql = bindForTenant(tenantId).bind(statement as TenantStatement<Record<string, unknown>>, values)
  if (statement.sql.startsWith('SELECT')) {
    const [rows] = await connection.query<RowDataPacket[]>(sql, null)
    return { answer: JSON.stringify(rows), effective: saysSomething(rows), ofTenant: '', ofB: undefined }
  }
  const looks = [tenantId, tenantB].map((whose) => looksAt(tables, whose))
  let answer: string
  let found: RowDataPacket[][]
  try {
    const [results] = await connection.query<RowDataPacket[][]>(
      ['START TRANSACTION', sql, ...looks.flat(), 'ROLLBACK'].join(';'),
      null,
    )
    answer = String((results[1] as unknown as ResultSetHeader).affectedRows)
    found = results.slice(2, -1)
  } catch (error) {
    answer = refusalOf(error)
    found = []
    for (const look of looks.flat()) found.push((await connection.query<RowDataPacket[]>(look, null))[0])
    await connection.query('ROLLBACK')
  }
  return {
    answer,
    effective: Number(answer) > 0,
    ofTenant: textOf(found.slice(0, tables.length)),
    ofB: textOf(found.slice(tables.length)),
  }
}

/** Refusals of rows are answers; everything else is a statement that does not work. */
function refusalOf(error: unknown): string {
  const number = (error as { errno?: number }).errno ?? 0
  if (number === duplicateEntry) return 'duplicate'
  if (constraintNumbers.has(number)) return 'refused'
  throw error
}

/** A count of nothing says nothing. */
const saysSomething = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  rows.some((row) => Object.values(row).some((value) => value !== null && Number(value) !== 0))

const isGlobal = (tables: readonly Table[], globalIds: readonly string[]) =>
  tables.some(({ keys }) =>
    keys.some(({ columns }) => !columns.includes('tenant_id') && columns.some((column) => globalIds.includes(column))),
  )

/** A SELECT for each of the tables. Numbers that the database gives depend on who else got some: they are left out. */
const looksAt = (tables: readonly Table[], tenantId: string): string[] =>
  tables.map(({ name, columns }) => {
    const names = columns.filter(({ increments }) => !increments).map((column) => `\`${column.name}\``)
    return `SELECT ${names.join(', ')} FROM \`${name}\` WHERE tenant_id = '${tenantId}'`
  })

const textOf = (found: readonly RowDataPacket[][]): string =>
  found
    .map((rows) =>
      rows
        .map((row) => JSON.stringify(row))
        .sort()
        .join('\n'),
    )
    .join('\n\n')
