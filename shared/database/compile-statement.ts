/** From a text with `:names` to a text with values. Read once when the statement is declared; running it only joins strings. */
import { literal } from './literal.ts'

/** Texts and the parameters between them: one text more than parameters. */
type Segment = { texts: readonly string[]; parameters: readonly Parameter[] }
type Parameter = { name: string; list: boolean }

export type CompiledStatement = {
  /** All of the statement but the values of an INSERT, which are `row`. */
  readonly head: Segment
  /** `(…)` behind VALUES, which may be repeated; undefined for everything but an INSERT of values. */
  readonly row: Segment | undefined
  readonly tail: Segment
  readonly parameters: readonly Parameter[]
}

export type Values = Readonly<Record<string, unknown>>

const parameterPattern = /'(?:[^'\\]|\\.|'')*'|:([A-Za-z][A-Za-z0-9]*)/g

export function compileStatement(name: string, sql: string): CompiledStatement {
  if (sql.includes(';') || sql.includes('--') || sql.includes('/*')) {
    throw new TypeError(`${name} is one statement without comments`)
  }
  const [headText, rowText, tailText] = splitAtRow(sql)
  const [head, row, tail] = [segmentOf(headText), segmentOf(rowText), segmentOf(tailText)]
  return {
    head,
    row: rowText === '' ? undefined : row,
    tail,
    parameters: [...head.parameters, ...row.parameters, ...tail.parameters],
  }
}

function segmentOf(sql: string): Segment {
  const texts: string[] = []
  const parameters: Parameter[] = []
  let from = 0
  for (const match of sql.matchAll(parameterPattern)) {
    const name = match[1]
    // A quoted text, in which a colon is a colon.
    if (name === undefined) continue
    const before = sql.slice(from, match.index)
    texts.push(before)
    parameters.push({ name, list: before.endsWith('IN (') })
    from = match.index + match[0].length
  }
  return { texts: [...texts, sql.slice(from)], parameters }
}

/** Before, in and after the parentheses behind VALUES. */
function splitAtRow(sql: string): [string, string, string] {
  const keyword = /^INSERT INTO [^;]*?\)\s+VALUES (?=\()/.exec(sql)
  if (!keyword) return [sql, '', '']
  const start = keyword[0].length
  let depth = 0
  for (let at = start; at < sql.length; at++) {
    if (sql[at] === '(') depth += 1
    if (sql[at] === ')') depth -= 1
    if (depth === 0) return [sql.slice(0, start), sql.slice(start, at + 1), sql.slice(at + 1)]
  }
  return [sql, '', '']
}

/** The statement with its values. `tenant` is the literal of the tenant; undefined: there is none. */
export function bindStatement(name: string, statement: CompiledStatement, values: Values, tenant?: string): string {
  const { head, row, tail } = statement
  const middle = row ? fill(name, row, values, tenant) : ''
  return fill(name, head, values, tenant) + middle + fill(name, tail, values, tenant)
}

/** One INSERT of many rows. */
export function bindRows(
  name: string,
  statement: CompiledStatement,
  rows: readonly Values[],
  tenant: string | undefined,
): string {
  const { head, row, tail } = statement
  if (!row || head.parameters.length > 0 || tail.parameters.length > 0) {
    throw new TypeError(`${name} has values outside of VALUES (…) and cannot take many rows`)
  }
  if (rows.length === 0) throw new RangeError(`${name} was given no rows`)
  return head.texts.join('') + rows.map((values) => fill(name, row, values, tenant)).join(',') + tail.texts.join('')
}

function fill(name: string, { texts, parameters }: Segment, values: Values, tenant: string | undefined): string {
  let sql = texts[0] ?? ''
  for (let at = 0; at < parameters.length; at++) {
    const parameter = parameters[at] as Parameter
    sql += parameter.name === 'tenantId' && tenant !== undefined ? tenant : valueOf(name, parameter, values)
    sql += texts[at + 1] ?? ''
  }
  return sql
}

function valueOf(statement: string, { name, list }: Parameter, values: Values): string {
  const value = values[name]
  if (!list) return literal(value, statement, name)
  if (!Array.isArray(value)) throw new TypeError(`${statement}: ${name} is not a list`)
  // An empty list is no SQL, and what it should mean depends on the statement.
  if (value.length === 0) throw new RangeError(`${statement}: ${name} is an empty list`)
  return value.map((one) => literal(one, statement, name)).join(',')
}
