/**
 * E-mail addresses and telephone numbers in one form each, so that equal ones are equal texts. What people type in different
 * ways must find the same account; what reaches different people must stay different.
 */
import { domainToASCII } from 'node:url'

export type ContactKind = 'email' | 'phone'
export type Contact = { kind: ContactKind; value: string }

const maximumEmailBytes = 254
const maximumLocalBytes = 64

/**
 * NFC, lower case, the domain in its ASCII form. The local part is lower-cased, too: no provider that matters tells `Ann@` from `ann@`,
 * and people type either. Dots and `+tags` stay: they can be different people. Undefined when it is no address.
 */
export function normaliseEmail(text: string): string | undefined {
  const trimmed = text.trim().normalize('NFC')
  if (trimmed.length > maximumEmailBytes || !trimmed.isWellFormed()) return undefined
  const at = trimmed.lastIndexOf('@')
  // Lower case may take a text out of NFC.
  const local = trimmed.slice(0, at).toLowerCase().normalize('NFC')
  const domain = domainToASCII(trimmed.slice(at + 1))
  if (at < 1 || domain === '') return undefined
  if (!localPattern.test(local) || !domainPattern.test(domain)) return undefined
  const normalised = `${local}@${domain}`
  if (Buffer.byteLength(local) > maximumLocalBytes || Buffer.byteLength(normalised) > maximumEmailBytes)
    return undefined
  return normalised
}
/** RFC 5322's dot-atom with the letters and digits of all scripts (RFC 6531); no quoted local parts. */
const localPattern = /^[\p{L}\p{N}\p{M}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{N}\p{M}!#$%&'*+/=?^_`{|}~-]+)*$/u
const domainPattern = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/

/** E.164: `+`, country, number, without anything between. A number without its country is nobody's: undefined. */
export function normalisePhone(text: string): string | undefined {
  if (text.length > 40) return undefined
  // Full-width digits and signs become the usual ones.
  const plain = text
    .normalize('NFKC')
    .trim()
    .replaceAll('(0)', '')
    .replaceAll(/[\s\-\u2010\u2011\u2013.()/]/g, '')
    .replace(/^00/, '+')
  return /^\+[1-9]\d{6,14}$/.test(plain) ? plain : undefined
}

export function normaliseContact(kind: ContactKind, text: string): string | undefined {
  return kind === 'email' ? normaliseEmail(text) : normalisePhone(text)
}

/** Which of the two somebody typed into one field. */
export function parseContact(text: string): Contact | undefined {
  const kind = text.includes('@') ? 'email' : 'phone'
  const value = normaliseContact(kind, text)
  return value === undefined ? undefined : { kind, value }
}
