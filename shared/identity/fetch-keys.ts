/**
 * Fetches a JSON Web Key Set over HTTPS from a server whose certificate a private authority signed and that asks who is calling,
 * as the API server of a cluster does. Certificate and token are read from their files at each fetch: both are renewed there.
 */
import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { customFetch, createRemoteJWKSet, type JWTVerifyGetKey } from 'jose'

export type RemoteKeysOptions = {
  url: URL
  /** PEM file of the authority; undefined: those that Node trusts. */
  caFile?: string | undefined
  /** File of the bearer token to ask with; undefined: none. */
  tokenFile?: string | undefined
  /** Time for one fetch; default 3,000. */
  timeoutMs?: number
  /** No second fetch before, also when a token names an unknown key; default 10,000. */
  cooldownMs?: number
  /** After this time the keys are fetched again, so that a withdrawn one takes effect; default 300,000. */
  cacheMs?: number
}

const maximumBytes = 262_144

/** Keys for jose's `jwtVerify`, fetched when first needed, kept, and fetched again when a token names one that is not there. */
export function createRemoteKeys(options: RemoteKeysOptions): JWTVerifyGetKey {
  return createRemoteJWKSet(options.url, {
    timeoutDuration: options.timeoutMs ?? 3_000,
    cooldownDuration: options.cooldownMs ?? 10_000,
    cacheMaxAge: options.cacheMs ?? 300_000,
    [customFetch]: async (_url, { signal }) => get(options, signal),
  })
}

async function get({ url, caFile, tokenFile }: RemoteKeysOptions, signal: AbortSignal): Promise<Response> {
  const [ca, token] = await Promise.all([readText(caFile), readText(tokenFile)])
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = {
    // The API server offers the first alone and answers 406 to who does not name it.
    accept: 'application/jwk-set+json, application/json;q=0.9',
    ...(token === undefined ? {} : { authorization: `Bearer ${token.trim()}` }),
  }
  // No agent: the next fetch is minutes away, and a kept connection would keep the old certificate. Redirects are not followed.
  request(url, { headers, signal, agent: false, ...(ca === undefined ? {} : { ca }) })
    .on('response', resolve)
    .on('error', reject)
    .end()
  const response = await promise
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maximumBytes) throw new Error(`the keys at ${url.href} are more than ${maximumBytes} bytes`)
    chunks.push(chunk)
  }
  // jose says no more than that it was not 200.
  if (response.statusCode !== 200) throw new Error(`${url.href} answers ${response.statusCode} and no keys`)
  return new Response(Buffer.concat(chunks))
}

async function readText(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : readFile(file, 'utf8')
}
