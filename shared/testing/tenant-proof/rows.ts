/** Rows for every table, made from what `information_schema` says of its columns and from the values that statements ask for. */
import type { Connection, RowDataPacket } from 'mysql2/promise'
import type { SqlValue } from '../../database/statement-types.ts'

export type Column = {
  name: string
  type: string
  nullable: boolean
  generated: boolean
  increments: boolean
  maximumLength: number
  /** Of an ENUM. */
  values: readonly string[]
  inKey: boolean
}
export type Table = { name: string; columns: readonly Column[]; keys: readonly { name: string; columns: string[] }[] }

/** The moment at which everything happens. */
export const nowMs = Date.UTC(2026, 5, 15, 12)
const dayMs = 86_400_000

export async function readTables(connection: Connection): Promise<Table[]> {
  const [columns] = await connection.query<RowDataPacket[]>(
    `SELECT TABLE_NAME AS tableName, COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS fullType, IS_NULLABLE AS nullable,
       EXTRA AS extra, CHARACTER_MAXIMUM_LENGTH AS maximumLength
     FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  )
  const [parts] = await connection.query<RowDataPacket[]>(
    `SELECT TABLE_NAME AS tableName, INDEX_NAME AS name, COLUMN_NAME AS columnName FROM information_schema.statistics
     WHERE table_schema = DATABASE() AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
  )
  const keyColumns = new Set(parts.map((part) => `${part['tableName']}.${part['columnName']}`))
  return [...Map.groupBy(columns, (column) => String(column['tableName']))].map(([name, of]) => ({
    name,
    columns: of.map((column) => ({
      name: String(column['name']),
      type: String(column['type']),
      nullable: column['nullable'] === 'YES',
      generated: /GENERATED/i.test(String(column['extra'])) && !/DEFAULT_GENERATED/i.test(String(column['extra'])),
      increments: String(column['extra']).includes('auto_increment'),
      maximumLength: Number(column['maximumLength'] ?? 0),
      values:
        column['type'] === 'enum' ? [...String(column['fullType']).matchAll(/'([^']*)'/g)].map(([, one]) => one!) : [],
      inKey: keyColumns.has(`${name}.${String(column['name'])}`),
    })),
    keys: [
      ...Map.groupBy(
        parts.filter((part) => part['tableName'] === name),
        (part) => String(part['name']),
      ),
    ].map(([key, of]) => ({ name: key, columns: of.map((part) => String(part['columnName'])) })),
  }))
}

/** The same for the same text, and spread. */
function spread(text: string, count: number): number {
  let hash = 2_166_136_261
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16_777_619) >>> 0
  // The low bits alone repeat with a short period.
  return ((hash ^ (hash >>> 15)) >>> 0) % count
}

export type RowOptions = {
  /** Values that statements compare a column with, by `table.column`. */
  literals: ReadonlyMap<string, readonly string[]>
  /** Values that cannot be guessed, by table and column. */
  fixed: Readonly<Record<string, Readonly<Record<string, SqlValue>>>>
  /** Columns of ids that are unique over all tenants. */
  globalIds: ReadonlySet<string>
}

/** A tenant lacks some rows: what it then finds in their place is of somebody else. */
export const isMissing = (table: string, number: number): boolean => spread(`${table} ${number} is missing`, 5) === 0

const narrow: Readonly<Record<string, number>> = { tinyint: 100, smallint: 30_000 }

/**
 * The value of a column in the row with this number. Tenants have the same ids, but for those that are unique over all of them; what
 * else is in their rows differs.
 */
export function valueOf(
  table: string,
  column: Column,
  number: number,
  tenantId: string,
  { literals, fixed, globalIds }: RowOptions,
): SqlValue {
  const path = `${table}.${column.name}`
  if (column.name === 'tenant_id') return tenantId
  const own = fixed[table]?.[column.name]
  if (own !== undefined) return own
  const seed = column.inKey ? `${path} ${number}` : `${path} ${number} ${tenantId}`
  if (column.nullable && !column.inKey && spread(`${seed} null`, 3) === 0) return null
  const wanted = column.inKey ? [] : (literals.get(path) ?? [])
  const choice = wanted[spread(seed, wanted.length + 1)]
  const shift = globalIds.has(column.name) && tenantId.endsWith('b') ? 500 : 0
  switch (column.type) {
    case 'enum':
      return choice !== undefined && column.values.includes(choice)
        ? choice
        : (column.values[spread(seed, column.values.length)] ?? null)
    case 'varchar':
    case 'char':
      return choice ?? idOf(column, number + shift)
    case 'text':
    case 'mediumtext':
    case 'longtext':
    case 'json':
      return `{"value":${number + shift}}`
    case 'datetime':
    case 'timestamp':
    case 'date':
      return new Date(nowMs + (spread(seed, 21) - 10) * dayMs + number * 1_000)
    case 'binary':
    case 'varbinary':
    case 'blob':
    case 'mediumblob':
      return Buffer.alloc(Math.min(Math.max(column.maximumLength, 1), 32), number + 1 + (shift % 200))
    default: {
      if (column.increments) return number + 1 + (tenantId.endsWith('b') ? 500 : 0)
      if (choice !== undefined && /^\d+$/.test(choice)) return Number(choice)
      return (number + 1 + shift) % (narrow[column.type] ?? 1_000_000_000)
    }
  }
}

/** Sortable by the number, and no longer than the column. */
function idOf({ name, maximumLength }: Column, number: number): string {
  const digits = String(number).padStart(3, '0')
  return maximumLength <= 6 ? digits.slice(-maximumLength) : `${name.slice(0, maximumLength - 4)}-${digits}`
}

export const lowest = ({ type }: Column): SqlValue =>
  /char|text|enum/.test(type) ? '' : /date|time/.test(type) ? new Date(Date.UTC(2001, 0, 1)) : -1
export const highest = ({ type }: Column): SqlValue =>
  /char|text|enum/.test(type) ? '~~~~' : /date|time/.test(type) ? new Date(Date.UTC(2037, 0, 1)) : 2_000_000_000
