/** Plays the API server of a cluster: signs service account tokens, and shows its keys over HTTPS to who has a token of its own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose'
import { createTestCertificate } from './certificate.ts'

export type TokenRequest = {
  issuer?: string
  audience?: string | string[]
  subject?: string
  /** As `jose` takes it; default `1h`. */
  expires?: string
  notBefore?: string
}

export const testIssuer = 'https://cluster.test'

export async function startTokenIssuer() {
  const certificate = createTestCertificate()
  const folder = await mkdtemp(join(tmpdir(), 'token-issuer-'))
  const state = {
    asked: [] as IncomingHttpHeaders[],
    status: 200,
    silent: false,
    body: undefined as string | undefined,
  }
  let keys: JWK[] = []
  let signing: { privateKey: CryptoKey; kid: string }
  let count = 0

  /** Makes another key the one that signs; the keys before it are shown no more. */
  const rotate = async (shown = true) => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const kid = `key-${(count += 1)}`
    signing = { privateKey, kid }
    if (shown) keys = [{ ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' }]
  }
  await rotate()

  const server: Server = createServer(certificate, (request, response) => {
    state.asked.push(request.headers)
    if (state.silent) return
    const { status } = state
    // As the API server of Kubernetes does.
    const acceptable = /application\/jwk-set\+json|\*\/\*/.test(request.headers.accept ?? '*/*')
    response.writeHead(acceptable ? status : 406, { 'content-type': 'application/jwk-set+json' })
    response.end(state.body ?? JSON.stringify({ keys }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const token = async (request: TokenRequest = {}) =>
    new SignJWT({ 'kubernetes.io': { namespace: 'shop' } })
      .setProtectedHeader({ alg: 'RS256', kid: signing.kid })
      .setIssuer(request.issuer ?? testIssuer)
      .setAudience(request.audience ?? 'stampede/probe')
      .setSubject(request.subject ?? 'system:serviceaccount:shop:probe-oidc-eventing.knative.dev-trigger')
      .setIssuedAt()
      .setNotBefore(request.notBefore ?? '0s')
      .setExpirationTime(request.expires ?? '1h')
      .sign(signing.privateKey)

  // What the kubelet would mount.
  const ownToken = await token({ audience: testIssuer, subject: 'system:serviceaccount:shop:probe' })
  await Promise.all([
    writeFile(join(folder, 'token'), `${ownToken}\n`),
    writeFile(join(folder, 'ca.crt'), certificate.cert),
    writeFile(join(folder, 'namespace'), 'shop'),
  ])
  return {
    url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/openid/v1/jwks`),
    folder,
    ownToken,
    state,
    token,
    rotate,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
