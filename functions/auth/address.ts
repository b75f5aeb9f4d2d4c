/** The address that counters count by. */
import type { IncomingHttpHeaders } from 'node:http'
import ipaddr from 'ipaddr.js'
import { z } from 'zod'
import { addressGroup } from '@stampede/shared/http/client-address.ts'
import type { BlindIndex } from '@stampede/shared/personal-data/blind-index.ts'

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** `TRUSTED_PROXIES`: addresses and ranges separated by commas; who connects from there says for whom in `x-forwarded-for`. */
export const trustedProxies = z
  .string()
  .default('')
  .transform((text, context): readonly Range[] => {
    const ranges: Range[] = []
    for (const entry of text.split(',').map((one) => one.trim())) {
      if (entry === '') continue
      try {
        if (entry.includes('/')) ranges.push(ipaddr.parseCIDR(entry))
        else ranges.push(hostRange(ipaddr.process(entry)))
      } catch {
        context.addIssue({ code: 'custom', message: 'is not a list of addresses and ranges like 10.0.0.0/8, fd00::/8' })
      }
    }
    return ranges
  })

const hostRange = (address: ipaddr.IPv4 | ipaddr.IPv6): Range => [address, address.kind() === 'ipv4' ? 32 : 128]

/** More hops than this are somebody's joke. */
const maximumHops = 20

/** The nearest that is no trusted proxy. Undefined: it is not known, as no proxy said it. */
export function callerAddress(
  remoteAddress: string,
  headers: IncomingHttpHeaders,
  trusted: readonly Range[],
): string | undefined {
  const forwarded = headers['x-forwarded-for']
  const hops = (typeof forwarded === 'string' ? forwarded : '').split(',').slice(-maximumHops)
  for (const hop of [remoteAddress, ...hops.toReversed()]) {
    const text = hop.trim()
    if (!ipaddr.isValid(text)) return undefined
    const address = ipaddr.process(text)
    if (!trusted.some((range) => isInside(address, range))) return address.toString()
  }
  return undefined
}

const isInside = (address: ipaddr.IPv4 | ipaddr.IPv6, [base, bits]: Range): boolean =>
  address.kind() === base.kind() && address.match([base, bits])

/** Addresses are personal data, too: counters know them by their index. Undefined for an address that is not known: nothing is counted by it. */
export function addressIndex(
  blindIndex: BlindIndex,
  tenantId: string,
  address: string | undefined,
): string | undefined {
  return address === undefined ? undefined : blindIndex.of('address', tenantId, addressGroup(ipaddr.process(address)))
}

/** The first language that somebody's browser asks for; messages are written in it where there is a text. */
export const localeOf = (headers: IncomingHttpHeaders): string =>
  /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}/.exec(headers['accept-language'] ?? '')?.[0] ?? 'en'
