/** Who a caller is to auth: the address that counters count by, and the language it reads. */
import type { IncomingHttpHeaders } from 'node:http'
import { addressGroup, clientAddress, parseAddress, type AddressRange } from '@stampede/shared/http/client-address.ts'
import type { BlindIndex } from '@stampede/shared/personal-data/blind-index.ts'

/** Undefined: it is not known. */
export function callerAddress(
  remoteAddress: string,
  headers: IncomingHttpHeaders,
  trusted: readonly AddressRange[],
): string | undefined {
  const forwardedFor = headers['x-forwarded-for']
  return clientAddress(remoteAddress, forwardedFor?.toString(), trusted)?.toString()
}

/** Addresses are personal data, too: counters know them by their index. Undefined for an address that is not known: nothing is counted by it. */
export function addressIndex(
  blindIndex: BlindIndex,
  tenantId: string,
  address: string | undefined,
): string | undefined {
  const known = parseAddress(address ?? '')
  return known && blindIndex.of('address', tenantId, addressGroup(known))
}

/** The first language that somebody's browser asks for; messages are written in it where there is a text. */
export const localeOf = (headers: IncomingHttpHeaders): string =>
  /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}/.exec(headers['accept-language'] ?? '')?.[0] ?? 'en'
