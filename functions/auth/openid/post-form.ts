/**
 * Posts to addresses that tenants chose. Only the public network is reached, unless the installation allows otherwise: whoever may
 * register an application must not get to what stands beside this process. The address is checked where the connection is made, so that a
 * name cannot point elsewhere a moment later, and redirects are not followed.
 */
import { lookup as systemLookup } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

export type PostForm = (url: string, fields: Readonly<Record<string, string>>) => Promise<void>

export type PostFormOptions = {
  privateAddresses: 'allowed' | 'refused'
  /** For the whole exchange; default 5,000. */
  timeoutMs?: number
  /** Default: the system's. */
  lookup?: typeof systemLookup
}

/** Nothing that belongs to a private network, to this machine, or to a protocol's own use. */
export function isPublicAddress(text: string): boolean {
  return ipaddr.isValid(text) && ipaddr.process(text).range() === 'unicast'
}

/** Rejects unless the answer is 200 or 204. */
export function createPostForm(options: PostFormOptions): PostForm {
  const { privateAddresses, timeoutMs = 5_000, lookup = systemLookup } = options
  const anywhere = privateAddresses === 'allowed'

  const publicLookup: LookupFunction = (hostname, lookupOptions, done) => {
    lookup(hostname, { ...lookupOptions, all: true }, (error, addresses) => {
      if (error) return done(error, '', 0)
      const usable = addresses.filter(({ address }) => anywhere || isPublicAddress(address))
      const [first] = usable
      if (!first) return done(new Error(`${hostname} has no address in the public network`), '', 0)
      if (lookupOptions.all) return done(null, usable, 0)
      return done(null, first.address, first.family)
    })
  }

  return async (text, fields) => {
    const url = new URL(text)
    const secure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!secure && !(anywhere && url.protocol === 'http:')) throw new Error(`${url.origin} is not reached over https`)
    if (!anywhere && isIP(host) !== 0 && !isPublicAddress(host)) throw new Error(`${host} is not in the public network`)
    const body = new URLSearchParams({ ...fields }).toString()
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(body),
    }
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const request = (secure ? https : http).request(
      url,
      { method: 'POST', headers, agent: false, lookup: publicLookup, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        resolve(response.statusCode ?? 0)
        // What it says beyond the status is not read.
        response.destroy()
      },
    )
    request.on('error', reject)
    request.end(body)
    const status = await promise
    if (status !== 200 && status !== 204) throw new Error(`${url.origin} answered ${status}`)
  }
}
