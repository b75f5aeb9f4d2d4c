/** Who the client is, as the upstream is told: in the old headers that everybody reads and in that of RFC 7239. */
import type { Known } from './addresses.ts'
import { isHost } from './request-line.ts'
import type { RequestHead } from './request-head.ts'

const maximumChain = 2_000

/** Appends to the headers that go on. Only what a trusted proxy says is believed. */
export function addForwarded(outgoing: string[], head: RequestHead, peer: Known | undefined, caller: Known): void {
  const trusted = peer?.trusted ?? false
  const proto = trusted && /^https?$/.test(head.forwardedProto ?? '') ? head.forwardedProto! : 'http'
  const host =
    trusted && head.forwardedHost !== undefined && isHost(head.forwardedHost) ? head.forwardedHost : head.host
  const chain =
    trusted && head.forwardedFor !== undefined && head.forwardedFor.length < maximumChain && caller.text !== peer!.text
      ? `${chainFrom(head.forwardedFor, caller)}, ${peer!.text}`
      : caller.text
  outgoing.push(
    'x-forwarded-for',
    chain,
    'x-forwarded-host',
    host,
    'x-forwarded-proto',
    proto,
    'forwarded',
    `for=${nodeOf(caller.text)};host="${host}";proto=${proto}`,
  )
}

/** What stands before the caller was written by who knows whom. */
function chainFrom(forwardedFor: string, caller: Known): string {
  const hops = forwardedFor.split(',').map((hop) => hop.trim())
  for (let index = hops.length - 1; index >= 0; index--) {
    if (hops[index] === caller.text) return hops.slice(index).join(', ')
  }
  return caller.text
}

const nodeOf = (address: string): string => (address.includes(':') ? `"[${address}]"` : address)
