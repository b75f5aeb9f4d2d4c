/** Quotes the name of a table that code (never a request) chose. Throws on anything but lower-case words. */
export function quoteTable(table: string): string {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(table)) throw new TypeError(`"${table}" is not a table name`)
  return `\`${table}\``
}
