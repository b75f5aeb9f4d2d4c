/** The signing keys of the platform as a process has them: read from the table, looked at again, made and replaced. */
import { randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose'
import { earliest } from '@stampede/shared/alarms/grid.ts'
import type { PlatformDatabase } from '@stampede/shared/database/sessions.ts'
import type { EventDatabase } from '@stampede/shared/function/event-database.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import type { KeyRing, SealContext } from '@stampede/shared/personal-data/key-ring.ts'
import {
  isRotationDue,
  nextRotationMs,
  planRotation,
  shownAt,
  signerAt,
  type KeyTimings,
  type SigningAlgorithm,
  type SigningKey,
} from './key-schedule.ts'
import { deleteHiddenKeys, hideKey, insertKey, listKeys, lockKeys, rewriteKey } from './key-store.ts'

export type Signer = { keyId: string; algorithm: SigningAlgorithm; privateKey: CryptoKey }

export type SigningKeys = {
  /** The key that signs now; the first one is made when there is none. Throws Problem `dependency-unavailable`. */
  signer(): Promise<Signer>
  /** What `/.well-known/jwks.json` says. */
  publicKeys(): Promise<{ keys: JWK[] }>
  /** Private keys of all that are shown, the signer first, and a text that changes when they do. */
  privateKeys(): Promise<{ version: string; algorithm: SigningAlgorithm; keys: JWK[] }>
  /** Makes a successor, whatever the schedule says. Events of the change are the caller's. */
  rotate(tx: PlatformDatabase): Promise<{ keyId: string; publishedAt: string; signsAt: string }>
  /**
   * The schedule: replaces what has signed long enough, deletes what was hidden a day ago, seals again what an old key sealed. Resolves
   * with when there is something to do again.
   */
  maintain(): Promise<number | undefined>
  /** Looks at the table again at the next call. */
  forget(): void
}

export type SigningKeysOptions = {
  database: EventDatabase
  ring: KeyRing
  algorithm: SigningAlgorithm
  timings: KeyTimings
  now: () => number
  /** What was read is believed for so long. */
  signerCacheMs: number
  /** The same for what is shown to others, who keep it much longer. */
  publicCacheMs: number
}

const dayMs = 86_400_000

export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { database, ring, timings, now } = options
  let known: { keys: SigningKey[]; atMs: number } | undefined
  let reading: Promise<SigningKey[]> | undefined
  const opened = new Map<string, { jwk: JWK; privateKey: Promise<CryptoKey> }>()

  const remember = (keys: SigningKey[]) => {
    known = { keys, atMs: performance.now() }
    for (const keyId of opened.keys()) if (!keys.some((key) => key.keyId === keyId)) opened.delete(keyId)
    return keys
  }

  const read = async (): Promise<SigningKey[]> => {
    await database.schema()
    return remember(await listKeys(database.database.forPlatform()))
  }

  /** At most `cacheMs` old; when the table cannot be read, what was read last is better than nothing. */
  const keysOf = async (cacheMs: number): Promise<SigningKey[]> => {
    if (known && performance.now() - known.atMs < cacheMs) return known.keys
    reading ??= read().finally(() => {
      reading = undefined
    })
    return reading.catch((error: unknown) => {
      if (known && known.keys.length > 0) return known.keys
      throw error
    })
  }

  const openKey = (key: SigningKey) => {
    let entry = opened.get(key.keyId)
    if (!entry) {
      const jwk = JSON.parse(ring.open(key.sealedPrivateJwk, contextOf(key.keyId))) as JWK
      entry = { jwk, privateKey: importJWK(jwk, key.algorithm) as Promise<CryptoKey> }
      opened.set(key.keyId, entry)
    }
    return entry
  }

  const rotate: SigningKeys['rotate'] = async (tx) => {
    await lockKeys(tx)
    const keys = await listKeys(tx)
    const nowMs = now()
    const plan = planRotation(keys, timings, nowMs)
    const key = { ...(await makeKey(options.algorithm, ring)), publishedAtMs: nowMs, signsAtMs: plan.signsAtMs }
    await insertKey(tx, key)
    for (const { keyId, hiddenAtMs } of plan.hide) await hideKey(tx, keyId, new Date(hiddenAtMs))
    return {
      keyId: key.keyId,
      publishedAt: new Date(nowMs).toISOString(),
      signsAt: new Date(plan.signsAtMs).toISOString(),
    }
  }

  /** Several processes find out at the same time: whoever comes second finds it done. */
  const rotateWhenDue = async () => {
    await database.database.transaction(async (transaction) => {
      const tx = transaction.forPlatform()
      await lockKeys(tx)
      if (isRotationDue(await listKeys(tx), timings, now())) await rotate(tx)
    })
    return read()
  }

  const withSigner = async (cacheMs: number): Promise<SigningKey[]> => {
    const keys = await keysOf(cacheMs)
    return signerAt(keys, now()) ? keys : rotateWhenDue()
  }

  return {
    rotate,
    forget: () => {
      known = undefined
    },
    signer: async () => {
      const key = signerAt(await withSigner(options.signerCacheMs), now())!
      return { keyId: key.keyId, algorithm: key.algorithm, privateKey: await openKey(key).privateKey }
    },
    publicKeys: async () => ({
      keys: shownAt(await withSigner(options.publicCacheMs), now()).map((key) => JSON.parse(key.publicJwk) as JWK),
    }),
    privateKeys: async () => {
      const keys = shownAt(await withSigner(options.signerCacheMs), now())
      return {
        version: keys.map(({ keyId }) => keyId).join(' '),
        algorithm: keys[0]!.algorithm,
        keys: keys.map((key) => ({ ...openKey(key).jwk, kid: key.keyId, alg: key.algorithm, use: 'sig' })),
      }
    },
    maintain: async () => {
      const keys = await read()
      if (isRotationDue(keys, timings, now())) await rotateWhenDue()
      await database.database.transaction(async (transaction) => {
        const tx = transaction.forPlatform()
        await lockKeys(tx)
        await deleteHiddenKeys(tx, new Date(now() - dayMs))
        for (const { keyId, sealedPrivateJwk } of await listKeys(tx)) {
          if (ring.keyIdOf(sealedPrivateJwk) === ring.currentKeyId) continue
          await rewriteKey(tx, keyId, ring.rewrap(sealedPrivateJwk, contextOf(keyId)))
        }
      })
      known = undefined
      const left = await read()
      const hidden = left.flatMap(({ hiddenAtMs }) => (hiddenAtMs === undefined ? [] : [hiddenAtMs + dayMs]))
      return earliest([nextRotationMs(left, timings, now()), ...hidden])
    },
  }
}

const contextOf = (keyId: string): SealContext => ({
  tenantId: platformTenant,
  table: 'auth_signing_keys',
  column: 'private_jwk',
  rowId: keyId,
})

async function makeKey(algorithm: SigningAlgorithm, ring: KeyRing) {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const [privateJwk, publicJwk] = await Promise.all([exportJWK(privateKey), exportJWK(publicKey)])
  // The thumbprint alone would do; a part by chance keeps an id from being used twice if a key were put back.
  const keyId = `${(await calculateJwkThumbprint(publicJwk)).slice(0, 22)}-${randomBytes(4).toString('hex')}`
  return {
    keyId,
    algorithm,
    publicJwk: JSON.stringify({ ...publicJwk, kid: keyId, alg: algorithm, use: 'sig' }),
    sealedPrivateJwk: ring.seal(JSON.stringify(privateJwk), contextOf(keyId)),
    hiddenAtMs: undefined,
  }
}
