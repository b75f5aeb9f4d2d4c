import { createHash } from 'node:crypto'
import test from 'ava'
import { hasProofOfWork, solveProofOfWork } from './proof-of-work.ts'

const bitsOf = (text: string): number => {
  const bits = [...createHash('sha256').update(text).digest()].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return bits.indexOf('1')
}

test('solveProofOfWork – finds the first number that has the bits, as the platform’s own SHA-256 says', (t) => {
  for (const bits of [0, 1, 5, 8, 12]) {
    const answer = solveProofOfWork('c1.key.tenant~user', bits)!
    t.true(bitsOf(`c1.key.tenant~user:${answer}`) >= bits)
    for (let earlier = 0; earlier < Number(answer); earlier++) t.true(bitsOf(`c1.key.tenant~user:${earlier}`) < bits)
  }
})

test('the hash – is right for every length around the ends of blocks', (t) => {
  for (let length = 0; length <= 200; length++) {
    const challenge = 'x'.repeat(length)
    for (const answer of ['0', '7', '12345', '999999999999999']) {
      const bits = bitsOf(`${challenge}:${answer}`)
      t.true(hasProofOfWork(challenge, answer, bits), `${length} ${answer}`)
      t.false(hasProofOfWork(challenge, answer, bits + 1), `${length} ${answer}`)
    }
  }
})

test('the hash – takes text beyond ASCII as UTF-8', (t) => {
  const bits = bitsOf('žluťoučký 🐎:3')
  t.true(hasProofOfWork('žluťoučký 🐎', '3', bits))
  t.false(hasProofOfWork('žluťoučký 🐎', '3', bits + 1))
})

test('solveProofOfWork – can be done in parts', (t) => {
  const whole = solveProofOfWork('parts', 10)!
  let from = 0
  let found: string | undefined
  while (found === undefined) {
    found = solveProofOfWork('parts', 10, from, 16)
    from += 16
  }
  t.is(found, whole)
})

test('hasProofOfWork – one number has one spelling, and nothing else is an answer', (t) => {
  const answer = solveProofOfWork('spelling', 4)!
  t.true(hasProofOfWork('spelling', answer, 4))
  for (const other of [
    `0${answer}`,
    `+${answer}`,
    `${answer}.0`,
    `${answer} `,
    '',
    '-1',
    '1e3',
    '9'.repeat(16),
    'NaN',
  ]) {
    t.false(hasProofOfWork('spelling', other, 0), other)
  }
})

test('solveProofOfWork – refuses a difficulty that nobody may ask for', (t) => {
  for (const bits of [-1, 1.5, 33, Number.NaN]) t.throws(() => solveProofOfWork('x', bits), { instanceOf: RangeError })
})
