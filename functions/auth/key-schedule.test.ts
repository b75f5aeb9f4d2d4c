import test from 'ava'
import * as fc from 'fast-check'
import { isRotationDue, planRotation, shownAt, signerAt, type SigningKey } from './key-schedule.ts'

const timings = { cacheMs: 300_000, tokenMs: 600_000, marginMs: 30_000, rotateAfterMs: 86_400_000 }

function rotate(keys: SigningKey[], nowMs: number): SigningKey[] {
  const plan = planRotation(keys, timings, nowMs)
  const hidden = new Map(plan.hide.map(({ keyId, hiddenAtMs }) => [keyId, hiddenAtMs]))
  const kept = keys.map((key) => (hidden.has(key.keyId) ? { ...key, hiddenAtMs: hidden.get(key.keyId) } : key))
  const key = { keyId: `k${keys.length}`, algorithm: 'ES256', publicJwk: '', sealedPrivateJwk: '' } as const
  return [...kept, { ...key, publishedAtMs: nowMs, signsAtMs: plan.signsAtMs, hiddenAtMs: undefined }]
}

test('signing keys – the first one signs at once, a successor when everybody has it', (t) => {
  const one = rotate([], 1_000)
  t.is(signerAt(one, 1_000)?.keyId, 'k0')
  const two = rotate(one, 2_000)
  t.is(signerAt(two, 2_000 + 329_999)?.keyId, 'k0')
  t.is(signerAt(two, 2_000 + 330_000)?.keyId, 'k1')
  t.deepEqual(
    shownAt(two, 2_001).map(({ keyId }) => keyId),
    ['k0', 'k1'],
  )
  t.true(isRotationDue([], timings, 0))
  t.false(isRotationDue(one, timings, 2_000))
  t.true(isRotationDue(one, timings, 1_000 + 86_400_000))
  t.false(isRotationDue(rotate(one, 1_000 + 86_400_000), timings, 1_000 + 86_400_001), 'its successor is there')
})

test('signing keys – whoever keeps the keys for the cache time can check every token as long as it lives', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 900_000 }), { maxLength: 12 }),
      fc.integer({ min: 0, max: 3_000_000 }),
      fc.integer({ min: 0, max: timings.cacheMs }),
      fc.integer({ min: 0, max: timings.tokenMs }),
      (pauses, signedAfterMs, fetchedBeforeMs, checkedAfterMs) => {
        let nowMs = 1_000
        let keys = rotate([], nowMs)
        const rotations = pauses.map((pauseMs) => (nowMs += pauseMs))
        for (const atMs of rotations) keys = rotate(keys, atMs)
        const signedAtMs = 1_000 + signedAfterMs
        const signer = signerAt(keys, signedAtMs)!
        const checkedAtMs = signedAtMs + checkedAfterMs
        // What a verifier has was shown at some time in the last minutes; keys made later were not there yet.
        const fetchedAtMs = Math.max(1_000, checkedAtMs - fetchedBeforeMs)
        const then = shownAt(
          keys.filter(({ publishedAtMs }) => publishedAtMs <= fetchedAtMs),
          fetchedAtMs,
        )
        return then.some(({ keyId }) => keyId === signer.keyId)
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass()
})
