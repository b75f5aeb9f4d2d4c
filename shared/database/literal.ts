/** Values as SQL text. Sessions speak UTC and have backslash escapes (`connect.ts` sets their mode). */
import mysql from 'mysql2/promise'

/** Characters that mean something inside single quotes. A double quote does not: JSON is nearly always taken as it is. */
const special = /['\\\0]/

/** Throws a TypeError that names the statement and the parameter for a value that is none. */
export function literal(value: unknown, statement: string, name: string): string {
  switch (typeof value) {
    case 'string':
      return special.test(value) ? mysql.escape(value) : `'${value}'`
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${statement}: ${name} is not a number`)
      return String(value)
    case 'bigint':
      return String(value)
    case 'boolean':
      return value ? 'TRUE' : 'FALSE'
    default:
      if (value === null) return 'NULL'
      if (value instanceof Date) return instant(value.getTime())
      if (Buffer.isBuffer(value)) return `X'${value.toString('hex')}'`
      throw new TypeError(`${statement}: ${name} is not a value of SQL`)
  }
}

/** The rows of a group share most of their times. */
const instants = new Map<number, string>()
const maximumInstants = 1_000

/** A DATETIME(3) in UTC. */
function instant(ms: number): string {
  let text = instants.get(ms)
  if (text === undefined) {
    const iso = new Date(ms).toISOString()
    text = `'${iso.slice(0, 10)} ${iso.slice(11, 23)}'`
    if (instants.size >= maximumInstants) instants.clear()
    instants.set(ms, text)
  }
  return text
}
