/** What the parameters of a statement stand for, read from its text: the column that each is compared with or written to. */
import type { TenantStatement } from '../../database/statement.ts'
import type { Column, Table } from './rows.ts'

export type ParameterPlan = {
  name: string
  list: boolean
  /** May be null, and then means nothing. */
  optional: boolean
  kind:
    | { of: 'column'; table: string; column: Column; choose: 'value' | 'lower' | 'higher' | 'other' }
    | { of: 'number'; value: number }
    | { of: 'unknown' }
}

/** Tables in the text, in order. */
export function tablesOf({ sql }: Pick<TenantStatement, 'sql'>, tables: readonly Table[]): Table[] {
  return tables
    .map((table) => ({ table, at: sql.search(new RegExp(`\\b${table.name}\\b`)) }))
    .filter(({ at }) => at >= 0)
    .sort((one, other) => one.at - other.at)
    .map(({ table }) => table)
}

/** Values that a text compares columns with. */
export function literalsIn(sql: string): { column: string; value: string }[] {
  const compared = [...sql.matchAll(/(\w+) (?:=|<>|!=) (?:'([^']*)'|(\d+))/g)].map(([, column, text, number]) => ({
    column: column!,
    value: text ?? number!,
  }))
  const listed = [...sql.matchAll(/(\w+) (?:NOT )?IN \(('[^)]*')\)/g)].flatMap(([, column, list]) =>
    [...list!.matchAll(/'([^']*)'/g)].map(([, value]) => ({ column: column!, value: value! })),
  )
  const flags = [...sql.matchAll(/(?:AND|OR) (NOT )?(\w+)(?= (?:AND|OR|ORDER|LIMIT)|$)/g)].flatMap(([, , column]) =>
    ['0', '1'].map((value) => ({ column: column!, value })),
  )
  return [...compared, ...listed, ...flags]
}

export function planOf(statement: TenantStatement, tables: readonly Table[]): ParameterPlan[] {
  const sql = statement.sql.replaceAll(/\s+/g, ' ')
  const own = tablesOf(statement, tables)
  const names = [...new Set(statement.compiled.parameters.map(({ name }) => name))].filter(
    (name) => name !== 'tenantId',
  )
  return names.map((name) => ({
    name,
    list: statement.compiled.parameters.some((parameter) => parameter.name === name && parameter.list),
    optional: new RegExp(`:${name} IS NULL`).test(sql),
    kind: kindOf(name, sql, own),
  }))
}

function kindOf(name: string, sql: string, own: readonly Table[]): ParameterPlan['kind'] {
  const find = (column: string) => {
    for (const table of own) {
      const found = table.columns.find((one) => one.name === column)
      if (found) return { of: 'column' as const, table: table.name, column: found }
    }
    return undefined
  }
  const parameter = `:${name}(?![A-Za-z0-9])`
  const comparisons = [...sql.matchAll(new RegExp(`(\\w+) (=|<=>|<>|<=|>=|<|>|IN|NOT IN) \\(?${parameter}`, 'g'))]
    .map(([, column, operator]) => ({ column: find(column!), operator: operator! }))
    .filter(({ column }) => column !== undefined)
    // A value for several columns is one that each of them takes.
    .sort((one, other) => Number(one.column?.column.nullable) - Number(other.column?.column.nullable))
  for (const [operators, choose] of [
    [['>'], 'lower'],
    [['<'], 'higher'],
    [['<>', 'NOT IN'], 'other'],
    [['=', '<=>', 'IN', '<=', '>='], 'value'],
  ] as const) {
    const found = comparisons.find(({ operator }) => (operators as readonly string[]).includes(operator))
    if (found?.column) return { ...found.column, choose }
  }
  const inserted = columnOfValue(parameter, sql)
  const column = (inserted && find(inserted)) ?? find(name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
  if (column) return { ...column, choose: 'value' }
  if (new RegExp(`(?:LIMIT|OFFSET) ${parameter}`).test(sql)) return { of: 'number', value: 1_000 }
  if (new RegExp(`(?:INTERVAL|[-+]) ${parameter}`).test(sql)) return { of: 'number', value: 1 }
  return { of: 'unknown' }
}

/** The column of an INSERT that takes the parameter. */
function columnOfValue(parameter: string, sql: string): string | undefined {
  const insert = /^INSERT INTO \w+ \(([^)]*)\) VALUES \((.*)/.exec(sql)
  if (!insert) return undefined
  const at = insert[2]!.split(',').findIndex((value) => new RegExp(parameter).test(value))
  return at < 0 ? undefined : insert[1]!.split(',')[at]?.trim()
}
