import test from 'ava'
import { hasProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'
import { answeredPassBody } from './challenge.ts'

test('answeredPassBody – solves the challenge of a refusal', (t) => {
  const body = answeredPassBody({
    status: 403,
    challenge: { policy: 'proof-of-work', challenge: 'c1.k.x', difficultyBits: 6, expiresAt: '2026-11-21T00:00:00Z' },
  })
  const { challengeAnswer } = JSON.parse(body!) as { challengeAnswer: string }
  const [challenge = '', answer = ''] = challengeAnswer.split(':')
  t.is(challenge, 'c1.k.x')
  t.true(hasProofOfWork(challenge, answer, 6))
})

test('answeredPassBody – leaves to people what is for people', (t) => {
  t.is(answeredPassBody({ status: 403 }), undefined)
  t.is(answeredPassBody({ challenge: { policy: 'captcha', challenge: 'x', siteKey: 'y' } }), undefined)
  t.is(answeredPassBody(null), undefined)
})
