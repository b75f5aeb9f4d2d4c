/** What the gateway's document says of an address, remembered for those that come again. */
import { LRUCache } from 'lru-cache'
import {
  addressGroup,
  isInside,
  nearestCaller,
  parseAddress,
  parseRange,
} from '@stampede/shared/http/client-address.ts'

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
/** Nobody may pretend to be unknown. */
const unknown: Known = { text: 'unknown', party: 'unknown', refused: true, trusted: false, operator: false }

/** The settings' ranges have been checked by the document's schema. */
export function createAddressRules(settings: AddressSettings): AddressRules {
  const rangesOf = (texts: readonly string[]) => texts.map((text) => parseRange(text)!)
  const allow = rangesOf(settings.allow)
  const deny = rangesOf(settings.deny)
  const trusted = rangesOf(settings.trustedProxies)
  const operators = rangesOf(settings.operators)
  const cache = new LRUCache<string, Known>({ max: remembered })

  const know = (text: string): Known | undefined => {
    const known = cache.get(text)
    if (known) return known
    const address = parseAddress(text)
    if (!address) return undefined
    const found: Known = {
      text: address.toString(),
      party: addressGroup(address),
      refused: isInside(address, deny) || (allow.length > 0 && !isInside(address, allow)),
      trusted: isInside(address, trusted),
      operator: isInside(address, operators),
    }
    cache.set(text, found)
    return found
  }

  return { know, callerOf: (peer, forwardedFor) => nearestCaller(peer, forwardedFor, know) ?? unknown }
}
