/**
 * Who is calling by address: IPv4, IPv6 and IPv4 in IPv6 are one; ranges; proxies that may speak for others; and whose requests count
 * together.
 */
import ipaddr from 'ipaddr.js'
import { z } from 'zod'

export type Address = ipaddr.IPv4 | ipaddr.IPv6
export type AddressRange = readonly [base: Address, bits: number]

/** More proxies than this in a row are somebody's joke. */
const maximumProxies = 20

/** Undefined when it is none: `1` and `0x7f000001`, addresses for some, are none here. */
export function parseAddress(text: string): Address | undefined {
  // A scope is one machine's own affair.
  const plain = text.includes(':') ? text.replace(/%.*$/, '') : text
  if (!plain.includes(':') && !/^\d{1,3}(\.\d{1,3}){3}$/.test(plain)) return undefined
  try {
    return ipaddr.process(plain)
  } catch {
    return undefined
  }
}

/** `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`; one of IPv4 that is written as IPv6 counts as IPv4. Undefined when it is none. */
export function parseRange(text: string): AddressRange | undefined {
  if (!text.includes('/')) {
    const address = parseAddress(text)
    return address && [address, address.kind() === 'ipv4' ? 32 : 128]
  }
  // Short forms such as `10.1/16` mean different addresses to different readers.
  if (!parseAddress(text.slice(0, text.indexOf('/')))) return undefined
  try {
    const [address, bits] = ipaddr.parseCIDR(text)
    if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
      return [address.toIPv4Address(), bits - 96]
    }
    return [address, bits]
  } catch {
    return undefined
  }
}

export const isInside = (address: Address, ranges: readonly AddressRange[]): boolean =>
  ranges.some(([base, bits]) => address.kind() === base.kind() && (address as ipaddr.IPv4).match(base, bits))

export const addressRange = z
  .string()
  .refine((text) => parseRange(text) !== undefined, 'is not an IP address or a range such as 10.0.0.0/8')

/** The variable `TRUSTED_PROXIES`: ranges separated by commas, whose `x-forwarded-for` is believed; empty: nobody's. */
export const trustedProxies = z
  .string()
  .default('')
  .transform((text, context): readonly AddressRange[] => {
    const ranges: AddressRange[] = []
    for (const entry of text.split(',').map((one) => one.trim())) {
      if (entry === '') continue
      const range = parseRange(entry)
      if (range) ranges.push(range)
      else
        context.addIssue({ code: 'custom', message: `"${entry}" is not an IP address or a range such as 10.0.0.0/8` })
    }
    return ranges
  })

/**
 * The nearest that is no trusted proxy; the farthest when all of them are. `resolve` makes what is wanted of an address' text, and
 * says whether it may speak for others. Undefined: not known, as the connection is gone or a proxy wrote something that is no
 * address. What a caller writes itself stands farther away than his own address and is never looked at, however long it is.
 */
export function nearestCaller<Known extends { trusted: boolean }>(
  peer: string,
  forwardedFor: string | undefined,
  resolve: (address: string) => Known | undefined,
): Known | undefined {
  let nearest = resolve(peer)
  let end = forwardedFor?.length ?? 0
  for (let proxies = 0; nearest?.trusted === true && end > 0; proxies += 1) {
    if (proxies === maximumProxies) return undefined
    const start = forwardedFor!.lastIndexOf(',', end - 1) + 1
    nearest = resolve(withoutPort(forwardedFor!.slice(start, end).trim()))
    end = start - 1
  }
  return nearest
}

/** The caller's address behind the proxies that are trusted to say it. Undefined: not known. */
export const clientAddress = (
  peer: string,
  forwardedFor: string | undefined,
  trusted: readonly AddressRange[],
): Address | undefined =>
  nearestCaller(peer, forwardedFor, (text) => {
    const address = parseAddress(text)
    return address && { address, trusted: isInside(address, trusted) }
  })?.address

/** Some proxies write the port, too. */
const withoutPort = (hop: string): string =>
  /^\[([^\]]+)\](:\d{1,5})?$/.exec(hop)?.[1] ?? /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/.exec(hop)?.[1] ?? hop

/** Who counts as one: a host of IPv4; a network of IPv6, where a customer may have 2^64 addresses. */
export function addressGroup(address: Address): string {
  if (address.kind() === 'ipv4') return address.toString()
  const parts = (address as ipaddr.IPv6).parts.slice(0, 4)
  return `${parts.map((part) => part.toString(16)).join(':')}::/64`
}
