/**
 * When a signing key is shown, signs, and is hidden. A verifier may keep the keys it fetched for `cacheMs`: a key signs only when
 * everybody has fetched it since it was shown, and is shown until the last token that it signed is dead. So no token is refused while
 * keys change.
 */
export type SigningKey = {
  keyId: string
  algorithm: SigningAlgorithm
  /** JSON. */
  publicJwk: string
  sealedPrivateJwk: string
  publishedAtMs: number
  signsAtMs: number
  /** Set when it has a successor. */
  hiddenAtMs: number | undefined
}
export type SigningAlgorithm = 'ES256' | 'EdDSA'

export type KeyTimings = {
  /** Verifiers keep keys for so long. */
  cacheMs: number
  /** No token lives longer. */
  tokenMs: number
  /** Clocks of the processes differ, and a signer looks at the table only now and then. */
  marginMs: number
  /** A key signs for so long before it is replaced. */
  rotateAfterMs: number
}

/** Newest first; equal times by id, so that every process chooses the same. */
const byStart = (one: SigningKey, other: SigningKey) =>
  other.signsAtMs - one.signsAtMs || (other.keyId < one.keyId ? -1 : 1)

/** The key that signs now. Undefined: there is none yet. */
export function signerAt(keys: readonly SigningKey[], nowMs: number): SigningKey | undefined {
  return keys.filter(({ signsAtMs }) => signsAtMs <= nowMs).sort(byStart)[0]
}

/** The keys that verifiers must know, the signer and those to come among them; the signer first. */
export function shownAt(keys: readonly SigningKey[], nowMs: number): SigningKey[] {
  const signer = signerAt(keys, nowMs)
  const others = keys.filter((key) => key !== signer && (key.hiddenAtMs === undefined || key.hiddenAtMs > nowMs))
  return [...(signer ? [signer] : []), ...others.sort(byStart)]
}

export type RotationPlan = { signsAtMs: number; hide: { keyId: string; hiddenAtMs: number }[] }

/** The successor of all keys: at once where there is none. One that has not begun to sign is replaced like any other. */
export function planRotation(keys: readonly SigningKey[], timings: KeyTimings, nowMs: number): RotationPlan {
  const signer = signerAt(keys, nowMs)
  const signsAtMs = signer ? nowMs + timings.cacheMs + timings.marginMs : nowMs
  const hiddenAtMs = signsAtMs + timings.tokenMs + timings.marginMs
  return {
    signsAtMs,
    hide: keys.filter((key) => key.hiddenAtMs === undefined).map(({ keyId }) => ({ keyId, hiddenAtMs })),
  }
}

/** When `isRotationDue` says yes, as far as nobody rotates before. Undefined: a successor is on its way. */
export function nextRotationMs(keys: readonly SigningKey[], timings: KeyTimings, nowMs: number): number | undefined {
  const signer = signerAt(keys, nowMs)
  if (!signer) return nowMs
  return keys.some((key) => key.signsAtMs > nowMs) ? undefined : signer.signsAtMs + timings.rotateAfterMs
}

/** Nothing signs, or what signs has done so long enough and nothing is to follow it. */
export function isRotationDue(keys: readonly SigningKey[], timings: KeyTimings, nowMs: number): boolean {
  const signer = signerAt(keys, nowMs)
  if (!signer) return true
  const hasSuccessor = keys.some((key) => key.signsAtMs > nowMs)
  return !hasSuccessor && nowMs - signer.signsAtMs >= timings.rotateAfterMs
}
