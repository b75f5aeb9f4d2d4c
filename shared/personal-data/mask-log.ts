/**
 * Keeps secrets and personal data out of logs: members by their name, at any depth, and whatever looks like an e-mail address, a
 * telephone number or a token in any text. What cannot be looked through (too deep, too long) is left out instead.
 */

const censor = '[masked]'
const maximumDepth = 8
const maximumMembers = 200
const maximumTextLength = 16_384

/** Names without case, hyphens and underscores. */
const hiddenNames = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'pass',
  'stampedepass',
  'stampededevice',
  'device',
  'otp',
  'verificationcode',
  'codeverifier',
  'apikey',
  'privatekey',
  'datakey',
  'datakeys',
  'indexkey',
  'recordkey',
  'email',
  'phone',
  'mobile',
  'telephone',
  'contact',
  'recipient',
  'address',
  'street',
  'line1',
  'line2',
  'postalcode',
  'fullname',
  'firstname',
  'lastname',
  'displayname',
  'idnumber',
  'birthdate',
])
const hiddenEndings = ['password', 'passwordhash', 'secret', 'token', 'jwt', 'email', 'emailaddress', 'phonenumber']

export function isHiddenName(name: string): boolean {
  const plain = name.replaceAll(/[-_]/g, '').toLowerCase()
  return hiddenNames.has(plain) || hiddenEndings.some((ending) => plain.endsWith(ending))
}

/** The text without what looks like somebody's address, number or token. */
export function maskLogText(text: string): string {
  const short = text.length > maximumTextLength ? `${text.slice(0, maximumTextLength)}…` : text
  if (!/[@+.]|bearer/i.test(short)) return short
  return short
    .replaceAll(/\b(bearer|basic) +[\w.~+/=-]{8,}/gi, `$1 ${censor}`)
    .replaceAll(/\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g, censor)
    .replaceAll(/[^\s@"<>()[\],;:\\]{1,64}@[\p{L}\p{N}.-]{1,253}\.[\p{L}\p{N}-]{2,63}/gu, censor)
    .replaceAll(/(?<![\w.:+-])\+[1-9](?:[ -]?\d){7,14}(?!\d)/g, censor)
}

/**
 * A copy that may be logged. `describeError` makes an error into a plain object, which is masked, too. Values that a logger writes
 * as they are (numbers, dates) stay.
 */
export function maskForLog(value: unknown, describeError: (error: Error) => unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskLogText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > maximumDepth) return '[too deep]'
  if (value instanceof Error) return maskForLog(describeError(value), describeError, depth + 1)
  if (value instanceof Date) return value
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) {
    const shown = value.slice(0, maximumMembers).map((item) => maskForLog(item, describeError, depth + 1))
    return value.length > maximumMembers ? [...shown, `[${value.length - maximumMembers} more]`] : shown
  }
  if (hasToJson(value)) return maskForLog(value.toJSON(), describeError, depth + 1)
  const copy: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value).slice(0, maximumMembers)) {
    if (member !== undefined && member !== null && isHiddenName(name)) copy[name] = censor
    // The driver puts the statement with its values into its errors.
    else if (name === 'sql' && typeof member === 'string') copy[name] = maskLogText(withoutLiterals(member))
    else copy[name] = maskForLog(member, describeError, depth + 1)
  }
  return copy
}

const withoutLiterals = (sql: string): string =>
  sql.slice(0, maximumTextLength).replaceAll(/'(?:[^'\\]|\\.|'')*'/g, "'?'")

function hasToJson(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function'
}
