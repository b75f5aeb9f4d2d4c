/** Who is calling by address: IPv4, IPv6 and IPv4 in IPv6 are one; ranges; proxies that may speak for others. */
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = [Address, number]

export type AddressSettings = {
  allow: readonly string[]
  deny: readonly string[]
  trustedProxies: readonly string[]
  operators: readonly string[]
}

/** What is known of one address. */
export type Known = {
  /** In its shortest form, IPv4 as such. */
  text: string
  /** Whose requests count together: the address, of IPv6 the /64. */
  party: string
  refused: boolean
  trusted: boolean
  operator: boolean
}

export type AddressRules = {
  /** Undefined when it is not an address. */
  know: (address: string) => Known | undefined
  /** The caller: the nearest one that is not a trusted proxy. */
  callerOf: (peer: string, forwardedFor: string | undefined) => Known
}

const remembered = 20_000
/** More hops than this are somebody's joke. */
const maximumHops = 20
const unknown: Known = { text: 'unknown', party: 'unknown', refused: true, trusted: false, operator: false }

export function createAddressRules(settings: AddressSettings): AddressRules {
  const allow = settings.allow.map(rangeOf)
  const deny = settings.deny.map(rangeOf)
  const trusted = settings.trustedProxies.map(rangeOf)
  const operators = settings.operators.map(rangeOf)
  const cache = new LRUCache<string, Known>({ max: remembered })

  const know = (text: string): Known | undefined => {
    const known = cache.get(text)
    if (known) return known
    const address = parseAddress(text)
    if (!address) return undefined
    const found: Known = {
      text: address.toString(),
      party: partyOf(address),
      refused: inside(address, deny) || (allow.length > 0 && !inside(address, allow)),
      trusted: inside(address, trusted),
      operator: inside(address, operators),
    }
    cache.set(text, found)
    return found
  }

  return {
    know,
    callerOf(peer, forwardedFor) {
      let nearest = know(peer)
      // A socket that is gone has no address.
      if (!nearest) return unknown
      if (!nearest.trusted || forwardedFor === undefined) return nearest
      const hops = forwardedFor.split(',', maximumHops + 1)
      if (hops.length > maximumHops) return unknown
      for (const hop of hops.toReversed()) {
        const known = know(withoutPort(hop.trim()))
        // The proxy wrote something that is no address: who stands behind it is not known, and nobody may pretend to be it.
        if (!known) return unknown
        nearest = known
        if (!known.trusted) break
      }
      return nearest
    },
  }
}

function parseAddress(text: string): Address | undefined {
  // `1` or `0x7f000001` are addresses for some; a scope is one machine's own affair.
  const plain = text.includes(':') ? text.replace(/%.*$/, '') : text
  if (!plain.includes(':') && !/^\d{1,3}(\.\d{1,3}){3}$/.test(plain)) return undefined
  try {
    return ipaddr.process(plain)
  } catch {
    return undefined
  }
}

/** Some proxies write the port, too. */
const withoutPort = (hop: string): string =>
  /^\[([^\]]+)\](:\d{1,5})?$/.exec(hop)?.[1] ?? /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/.exec(hop)?.[1] ?? hop

/** An IPv4 range that is written as IPv6 counts as IPv4. */
export function rangeOf(text: string): Range {
  if (!text.includes('/')) {
    const address = ipaddr.process(text)
    return [address, address.kind() === 'ipv4' ? 32 : 128]
  }
  const [address, bits] = ipaddr.parseCIDR(text)
  if (address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() && bits >= 96) {
    return [(address as ipaddr.IPv6).toIPv4Address(), bits - 96]
  }
  return [address, bits]
}

const inside = (address: Address, ranges: readonly Range[]): boolean =>
  ranges.some(([base, bits]) => address.kind() === base.kind() && (address as ipaddr.IPv4).match(base, bits))

function partyOf(address: Address): string {
  if (address.kind() === 'ipv4') return address.toString()
  const parts = (address as ipaddr.IPv6).parts.slice(0, 4).map((part) => part.toString(16))
  return `${parts.join(':')}::/64`
}
