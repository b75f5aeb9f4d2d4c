import test from 'ava'
import { z } from 'zod'
import { createPasses } from '@stampede/shared/identity/pass.ts'
import { solveProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'
import type { CaptchaVerdict } from './captcha.ts'
import { createChallengeTokens, maximumChallengeLength } from './challenge-token.ts'
import { createChallenge, type Applicant, type Offer } from './challenge.ts'
import { seckillSettings, settingsEnvironment, type SeckillSettings } from './settings.ts'

type Settings = SeckillSettings['challenge']
const keys = [{ id: 'k1', secret: Buffer.alloc(32, 7) }]
const anna: Applicant = { tenantId: 'acme', userId: 'anna', activityId: 'sale', device: 'phone', address: '192.0.2.1' }
const environment = z.object(settingsEnvironment).parse({ CAPTCHA_SECRET: 'secret' })
const captchaSettings = { verifyUrl: 'https://captcha.test/siteverify', siteKey: 'site', provider: 'turnstile' }
const settingsOf = (challenge: z.input<ReturnType<typeof seckillSettings>>['challenge']): Settings =>
  seckillSettings(environment).parse({ challenge }).challenge

function stage(challenge: Parameters<typeof settingsOf>[0] = {}) {
  const state = {
    nowMs: 1_800_000_000_000,
    settings: settingsOf({ difficultyBits: 4, ...challenge }),
    verdict: 'met' as CaptchaVerdict,
    asked: [] as string[],
  }
  const made = createChallenge({
    settings: () => state.settings,
    tokens: createChallengeTokens(keys),
    captcha: async (answer, address) => {
      state.asked.push(`${answer} ${address}`)
      return state.verdict
    },
    now: () => state.nowMs,
  })
  return { state, ...made }
}
type Work = Extract<Offer, { policy: 'proof-of-work' }>
const workOf = (offer: Offer): Work => offer as Work
const solved = ({ challenge, difficultyBits }: Work) => `${challenge}:${solveProofOfWork(challenge, difficultyBits)}`

test('a challenge – its right answer is met, as often as it is given', async (t) => {
  const { offer, judge } = stage()
  const answer = solved(workOf(offer(anna)))
  t.is(await judge(anna, answer), 'met')
  t.is(await judge(anna, answer), 'met')
})

test('a challenge – a wrong answer, none, and rubbish are told apart', async (t) => {
  const { offer, judge } = stage({ difficultyBits: 12 })
  const work = workOf(offer(anna))
  const first = Number(solved(work).split(':')[1])
  t.is(await judge(anna, undefined), 'missing')
  t.is(await judge(anna, `${work.challenge}:${first === 0 ? 'none' : first - 1}`), 'wrong')
  t.is(await judge(anna, `${work.challenge}:`), 'wrong')
  for (const rubbish of [
    '',
    ':',
    'x',
    work.challenge,
    'c1.k1.x:1',
    `c1.k2.${'~'.repeat(6)}.x:1`,
    `${'x'.repeat(10_000)}:1`,
  ]) {
    t.is(await judge(anna, rubbish), 'malformed', rubbish.slice(0, 20))
  }
})

test('a challenge – nobody else can use the answer: other user, tenant, activity, device, or none', async (t) => {
  const { offer, judge } = stage()
  const answer = solved(workOf(offer(anna)))
  for (const other of [
    { userId: 'bert' },
    { tenantId: 'other' },
    { activityId: 'other' },
    { device: 'tablet' },
    { device: '' },
  ]) {
    t.is(await judge({ ...anna, ...other }, answer), 'not-yours', JSON.stringify(other))
  }
  // The address may change on the way from Wi-Fi to the mobile network.
  t.is(await judge({ ...anna, address: '198.51.100.7' }, answer), 'met')
})

test('a challenge – expires, and one whose issuer’s clock was wrong is not valid for long', async (t) => {
  const { state, offer, judge } = stage({ ttlSeconds: 60 })
  const answer = solved(workOf(offer(anna)))
  state.nowMs += 59_999
  t.is(await judge(anna, answer), 'met')
  state.nowMs += 1
  t.is(await judge(anna, answer), 'expired')
  // The clock jumps ahead by a day, a challenge is issued, the clock is set right.
  state.nowMs += 86_400_000
  const ofTomorrow = solved(workOf(offer(anna)))
  state.nowMs -= 86_400_000
  t.is(await judge(anna, ofTomorrow), 'expired')
})

test('a challenge – no claim of it can be changed', async (t) => {
  const { offer, judge } = stage({ difficultyBits: 20 })
  const { challenge } = workOf(offer(anna))
  for (const [part, other] of [
    ['~20~', '~0~'],
    ['~anna~', '~bert~'],
    ['~phone~', '~tablet~'],
    ['c1.', 'v1.'],
    ['.k1.', '.k2.'],
  ] as const) {
    const forged = challenge.replace(part, other)
    t.not(forged, challenge)
    t.is(await judge(anna, `${forged}:${solveProofOfWork(forged, 0)}`), 'malformed', part)
  }
})

test('a challenge – of another key is not ours; of an older key that is still in the list it is', async (t) => {
  const old = stage()
  const answer = solved(workOf(old.offer(anna)))
  const judgeWith = (...given: { id: string; secret: Buffer }[]) =>
    createChallenge({
      settings: () => old.state.settings,
      tokens: createChallengeTokens(given),
      captcha: undefined,
      now: () => old.state.nowMs,
    }).judge(anna, answer)
  const fresh = { id: 'k2', secret: Buffer.alloc(32, 9) }
  t.is(await judgeWith(fresh, keys[0]!), 'met')
  t.is(await judgeWith(fresh), 'malformed')
  t.is(await judgeWith({ id: 'k1', secret: Buffer.alloc(32, 9) }), 'malformed')
})

test('a challenge and a pass – are never taken for each other', (t) => {
  const passes = createPasses({ keys, now: () => 0 })
  const { challenge } = workOf(stage().offer(anna))
  t.is(passes.verify(challenge, 'sale'), undefined)
  t.is(passes.verify(challenge.replace(/^c1/, 'v2'), 'sale'), undefined)
  const pass = passes.issue({ ...anna, issuedAtMs: 0, expiresAtMs: 1 })
  t.is(createChallengeTokens(keys).read(pass), undefined)
  t.is(createChallengeTokens(keys).read(pass.replace(/^v2/, 'c1')), undefined)
})

test('a challenge – of the longest names can be carried', async (t) => {
  const long = 'x'.repeat(64)
  const { offer, judge } = stage({ policy: 'captcha', captcha: captchaSettings })
  const buyer = { tenantId: long, userId: long, activityId: long, device: long, address: '' }
  const { challenge } = offer(buyer) as Extract<Offer, { policy: 'captcha' }>
  t.true(challenge.length <= maximumChallengeLength)
  t.is(await judge(buyer, `${challenge}:answer`), 'met')
})

test('a change of the difficulty – holds for new challenges; who has begun to work finishes it', async (t) => {
  const { state, offer, judge } = stage({ difficultyBits: 2 })
  const before = solved(workOf(offer(anna)))
  state.settings = settingsOf({ difficultyBits: 10 })
  t.is(await judge(anna, before), 'met')
  const after = workOf(offer(anna))
  t.is(after.difficultyBits, 10)
  const first = Number(solved(after).split(':')[1])
  // The last number before the first right one.
  t.is(await judge(anna, `${after.challenge}:${first === 0 ? 'none' : first - 1}`), 'wrong')
})

test('a change of the policy – asks for another challenge', async (t) => {
  const { state, offer, judge } = stage()
  const answer = solved(workOf(offer(anna)))
  state.settings = settingsOf({ policy: 'captcha', captcha: captchaSettings })
  t.is(await judge(anna, answer), 'outdated')
  t.deepEqual(state.asked, [])
  state.settings = settingsOf({ policy: 'none' })
  t.deepEqual(offer(anna), { policy: 'none' })
  t.is(await judge(anna, undefined), 'met')
})

test('a captcha – is asked about the answer once it is the buyer’s own, and its word counts', async (t) => {
  const { state, offer, judge } = stage({ policy: 'captcha', captcha: captchaSettings })
  const shown = offer(anna) as Extract<Offer, { policy: 'captcha' }>
  t.like(shown, { policy: 'captcha', provider: 'turnstile', siteKey: 'site' })
  const answer = `${shown.challenge}:token:with:colons`
  t.is(await judge({ ...anna, userId: 'bert' }, answer), 'not-yours')
  t.deepEqual(state.asked, [])
  t.is(await judge(anna, answer), 'met')
  t.deepEqual(state.asked, ['token:with:colons 192.0.2.1'])
  state.verdict = 'wrong'
  t.is(await judge(anna, answer), 'wrong')
})

test('a captcha that is away – refuses or lets in, as the policy says', async (t) => {
  const { state, offer, judge } = stage({ policy: 'captcha', captcha: captchaSettings })
  const { challenge } = offer(anna) as Extract<Offer, { policy: 'captcha' }>
  state.verdict = 'unavailable'
  t.is(await judge(anna, `${challenge}:x`), 'unavailable')
  state.settings = settingsOf({ policy: 'captcha', captcha: { ...captchaSettings, whenUnavailable: 'allow' } })
  t.is(await judge(anna, `${challenge}:x`), 'met')
  state.verdict = 'wrong'
  t.is(await judge(anna, `${challenge}:x`), 'wrong')
})
