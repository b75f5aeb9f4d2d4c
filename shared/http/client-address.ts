/**
 * Whose requests count together: the client's address behind the proxies that are trusted to say it, of IPv6 the /64, because one
 * customer has all of it.
 */
import ipaddr from 'ipaddr.js'

type Range = ReturnType<typeof ipaddr.parseCIDR>

/** More hops than this are somebody's joke. */
const maximumHops = 20

/**
 * `trustedProxies`: CIDR blocks or addresses, separated by commas; empty: nobody. Returns `(peer, x-forwarded-for) => address`; an
 * empty text when it cannot be known. Throws a TypeError that names the block which is none.
 */
export function createClientAddress(trustedProxies: string) {
  const trusted = trustedProxies
    .split(',')
    .map((block) => block.trim())
    .filter((block) => block !== '')
    .map(rangeOf)
  const isTrusted = (address: ipaddr.IPv4 | ipaddr.IPv6): boolean =>
    trusted.some(([base, bits]) => base.kind() === address.kind() && address.match([base, bits] as never))
  return (peer: string, forwardedFor: string | undefined): string => {
    let nearest = parse(peer)
    if (!nearest) return ''
    if (forwardedFor === undefined || !isTrusted(nearest)) return addressGroup(nearest)
    const hops = forwardedFor.split(',', maximumHops + 1)
    if (hops.length > maximumHops) return ''
    for (const hop of hops.toReversed()) {
      const address = parse(hop.trim())
      // What stands there is no address: nobody may choose whom he counts as.
      if (!address) return ''
      nearest = address
      if (!isTrusted(nearest)) break
    }
    return addressGroup(nearest)
  }
}

function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // `1` and `0x7f000001` are addresses for some.
  if (!text.includes(':') && !/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined
  try {
    // IPv4 in IPv6 is IPv4; a scope is one machine's own affair.
    return ipaddr.process(text.replace(/%.*$/, ''))
  } catch {
    return undefined
  }
}

function rangeOf(block: string): Range {
  try {
    if (block.includes('/')) return ipaddr.parseCIDR(block)
    const address = ipaddr.process(block)
    return [address, address.kind() === 'ipv4' ? 32 : 128] as Range
  } catch {
    throw new TypeError(`"${block}" is no address and no CIDR block`)
  }
}

/** Who counts as one: a host of IPv4; a network of IPv6, where a host may have 2^64 addresses. */
export function addressGroup(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  if (address.kind() === 'ipv4') return address.toString()
  const parts = (address as ipaddr.IPv6).parts.slice(0, 4)
  return `${parts.map((part) => part.toString(16)).join(':')}::/64`
}
