/** The protection of a sale through its routes: real Redis, settings that change while it runs. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Redis } from 'ioredis'
import { purchase } from '@stampede/lua/generated/scripts.ts'
import { solveProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { accessToken, passFor, startStage, type Answer } from './testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'stampede-protection-'))
const stage = await startStage({
  CHALLENGE: 'proof-of-work',
  CHALLENGE_DIFFICULTY_BITS: '3',
  CONFIGURATION_FOLDER: folder,
})
test.after.always(async () => {
  await stage.stop()
  rmSync(folder, { recursive: true })
})

const bearer = async (userId: string, device?: string) => ({
  authorization: `Bearer ${await accessToken(stage.tenantId, userId)}`,
  ...(device === undefined ? {} : { 'stampede-device': device }),
})
const json = { 'content-type': 'application/json' }
const path = (activityId: string, what: string) => `/api/v1/seckill/${activityId}/${what}`
const solve = (offer: Record<string, unknown>) =>
  `${String(offer['challenge'])}:${solveProofOfWork(String(offer['challenge']), Number(offer['difficultyBits']))}`

async function challengeFor(activityId: string, userId: string, device?: string): Promise<Answer> {
  return stage.get(path(activityId, 'challenge'), await bearer(userId, device))
}
async function passOf(activityId: string, userId: string, challengeAnswer?: string, device?: string): Promise<Answer> {
  const headers = { ...json, ...(await bearer(userId, device)) }
  return stage.post(path(activityId, 'pass'), headers, JSON.stringify({ challengeAnswer }))
}
const answerFor = async (activityId: string, userId: string, device?: string) =>
  solve((await challengeFor(activityId, userId, device)).body)

/** Writes the document and waits until it applies, or is refused. */
async function configure(document: object): Promise<void> {
  const version = `v${Math.random().toString(36).slice(2)}`
  writeFileSync(join(folder, 'new'), JSON.stringify({ version, ...document }))
  renameSync(join(folder, 'new'), join(folder, 'seckill.yaml'))
  for (;;) {
    const metrics = await (await fetch(`${stage.url}/metrics`)).text()
    if (metrics.includes(`version="${version}"`)) return
  }
}

test.serial('a challenge – solved, it gives a pass, and the pass buys', async (t) => {
  const { activityId } = await stage.sale()
  const offered = await challengeFor(activityId, 'anna', 'phone')
  t.like(offered, { status: 200, body: { policy: 'proof-of-work', algorithm: 'SHA-256', difficultyBits: 3 } })
  const given = await passOf(activityId, 'anna', solve(offered.body), 'phone')
  t.is(given.status, 200)
  const headers = { ...json, 'stampede-pass': String(given.body['pass']) }
  const wrong = await stage.post(path(activityId, 'purchases'), { ...headers, 'stampede-device': 'tablet' }, '{}')
  t.like(wrong, { status: 403, body: { code: 'forbidden' } })
  t.is((await stage.post(path(activityId, 'purchases'), { ...headers, 'stampede-device': 'phone' }, '{}')).status, 202)
})

test.serial('a pass – is refused without the answer, and the refusal brings the challenge along', async (t) => {
  const { activityId } = await stage.sale()
  const refused = await passOf(activityId, 'anna')
  t.like(refused, { status: 403, body: { code: 'forbidden', reason: 'challenge-missing' } })
  const answer = solve(refused.body['challenge'] as Record<string, unknown>)
  t.is((await passOf(activityId, 'anna', answer)).status, 200)
})

test.serial(
  'a pass – is refused for the answer of another user or device, and given again for one’s own',
  async (t) => {
    const { activityId } = await stage.sale()
    const other = await stage.sale()
    const answer = await answerFor(activityId, 'anna', 'phone')
    for (const refused of [
      await passOf(activityId, 'bert', answer, 'phone'),
      await passOf(activityId, 'anna', answer, 'tablet'),
      await passOf(activityId, 'anna', answer),
      await passOf(other.activityId, 'anna', answer, 'phone'),
    ])
      t.like(refused, { status: 403, body: { reason: 'challenge-not-yours' } })
    t.is((await passOf(activityId, 'anna', answer, 'phone')).status, 200)
    t.is((await passOf(activityId, 'anna', answer, 'phone')).status, 200)
    const wrong = `${answer.slice(0, answer.indexOf(':'))}:none`
    t.like(await passOf(activityId, 'anna', wrong, 'phone'), { status: 403, body: { reason: 'challenge-wrong' } })
  },
)

test.serial('challenges – are given out shortly before the start, and not after the end', async (t) => {
  const far = await stage.sale({ startsAtMs: Date.now() + 86_400_000, endsAtMs: Date.now() + 90_000_000 })
  for (const answer of [await challengeFor(far.activityId, 'anna'), await passOf(far.activityId, 'anna', 'x:1')]) {
    t.like(answer, { status: 425, body: { code: 'not-started' } })
    t.is(answer.body['opensAt'], new Date(far.startsAtMs - 900_000).toISOString())
    t.truthy(answer.headers.get('retry-after'))
  }
  const soon = await stage.sale({ startsAtMs: Date.now() + 600_000, endsAtMs: Date.now() + 700_000 })
  const answer = await answerFor(soon.activityId, 'anna')
  const given = await passOf(soon.activityId, 'anna', answer)
  t.is(given.status, 200)
  t.is(given.body['startsAt'], new Date(soon.startsAtMs).toISOString())
  const over = await stage.sale({ startsAtMs: Date.now() - 2_000, endsAtMs: Date.now() - 1_000 })
  t.like(await challengeFor(over.activityId, 'anna'), { status: 410, body: { code: 'ended' } })
})

test.serial('a token alone – does not go around the challenge', async (t) => {
  const { activityId, tenantId } = await stage.sale()
  const headers = { ...json, ...(await bearer('anna')) }
  const old = JSON.stringify({ userId: 'anna', activityId })
  const refused = { status: 403, body: { code: 'forbidden', reason: 'pass-required' } }
  t.like(await stage.post(path(activityId, 'purchases'), headers, '{}'), refused)
  t.like(await stage.post('/api/flash-sale/order/create', headers, old), refused)
  // Who is nobody hears nothing of passes.
  const nobody = { ...json, authorization: `Bearer ${await accessToken(stage.tenantId, 'anna', { forged: true })}` }
  t.is((await stage.post(path(activityId, 'purchases'), nobody, '{}')).status, 401)
  const pass = passFor({ tenantId, activityId, userId: 'anna' })
  t.is((await stage.post('/api/flash-sale/order/create', { ...json, 'stampede-pass': pass }, old)).status, 202)
})

test.serial(
  'settings – change what passes and presses meet while the function runs; a wrong document changes nothing',
  async (t) => {
    const { activityId } = await stage.sale({ perUserLimit: 5 })
    const before = await answerFor(activityId, 'anna')
    await configure({ challenge: { difficultyBits: 7 } })
    t.is((await challengeFor(activityId, 'anna')).body['difficultyBits'], 7)
    t.is((await passOf(activityId, 'anna', before)).status, 200)
    const headers = { ...json, ...(await bearer('anna')) }
    t.is((await stage.post(path(activityId, 'purchases'), headers, '{}')).status, 403)
    await configure({ passes: { required: 'never' } })
    t.is((await stage.post(path(activityId, 'purchases'), headers, '{}')).status, 202)
    await configure({ challenge: { policy: 'none' } })
    t.is((await challengeFor(activityId, 'anna')).body['policy'], 'none')
    t.is((await passOf(activityId, 'anna')).status, 200)
    await configure({ challenge: { policy: 'none' }, passes: { required: 'always' } })
    t.is((await stage.post(path(activityId, 'purchases'), headers, '{}')).status, 403)
    // The policy needs a secret that this process does not have.
    writeFileSync(join(folder, 'seckill.yaml'), JSON.stringify({ version: 1, challenge: { policy: 'captcha' } }))
    for (;;) if ((await metricsText()).includes('configuration_rejected{name="seckill",function="seckill"} 1')) break
    t.is((await challengeFor(activityId, 'anna')).body['policy'], 'none')
    await configure({ rates: { purchasesPerSecond: 1, burst: 1 } })
    const presses = await Promise.all(['a', 'b', 'c', 'd'].map((userId) => stage.press(activityId, userId)))
    t.true(presses.some(({ status }) => status === 429))
    await configure({})
    t.is((await stage.press(activityId, 'e')).status, 202)
  },
)

const metricsText = async () => (await fetch(`${stage.url}/metrics`)).text()

test.serial('limits – hold exactly for parallel requests of a user, and of the people of a device', async (t) => {
  await configure({ challenge: { policy: 'none' }, passes: { byUser: 3, usersByDevice: 2 } })
  const { activityId } = await stage.sale()
  const statuses = async (asked: Promise<Answer>[]) => (await Promise.all(asked)).map(({ status }) => status)
  const ofAnna = await statuses(Array.from({ length: 12 }, () => passOf(activityId, 'anna')))
  t.is(ofAnna.filter((status) => status === 200).length, 3)
  t.is(ofAnna.filter((status) => status === 429).length, 9)
  const refused = await passOf(activityId, 'anna')
  t.like(refused.body, { code: 'rate-limited', limit: 'user' })
  t.truthy(refused.headers.get('retry-after'))
  const family = await statuses(
    ['bert', 'carl', 'dora', 'emil'].map((user) => passOf(activityId, user, undefined, 'tv')),
  )
  t.is(family.filter((status) => status === 200).length, 2)
  await configure({ passes: { deviceRequired: true } })
  t.like(await passOf(activityId, 'fred'), { status: 400, body: { errors: [{ pointer: '/stampede-device' }] } })
})

test.serial('limits – a Redis that is away gives no passes', async (t) => {
  const redis = await startRedis()
  const own = await startStage({ REDIS_URL: redis.url, CHALLENGE: 'none' })
  t.teardown(() => own.stop())
  const { activityId } = await own.sale()
  const headers = { ...json, authorization: `Bearer ${await accessToken(own.tenantId, 'anna')}` }
  t.is((await own.post(path(activityId, 'pass'), headers, '{}')).status, 200)
  await redis.stop()
  t.like(await own.post(path(activityId, 'pass'), headers, '{}'), {
    status: 503,
    body: { code: 'dependency-unavailable' },
  })
})

test.serial('presses – ask Redis for the decision alone, whatever protects the sale', async (t) => {
  const redis = await startRedis()
  const client = new Redis(redis.url)
  // Before anybody else speaks to it: the client takes a report that comes together with the OK for the reply of a command.
  const monitor = await client.monitor()
  const own = await startStage({ REDIS_URL: redis.url, CHALLENGE: 'proof-of-work', CHALLENGE_DIFFICULTY_BITS: '1' })
  t.teardown(async () => {
    monitor.disconnect()
    client.disconnect()
    await own.stop()
    await redis.stop()
  })
  const { activityId, tenantId } = await own.sale({ stock: 100 })
  const asked = { decisions: 0, others: [] as string[] }
  /** Whatever Redis was told until now has been reported. */
  const allReported = async () => {
    const word = randomUUID()
    const heard = new Promise<void>((resolve) =>
      monitor.on('monitor', (_time: string, [, said]: string[]) => said === word && resolve()),
    )
    await client.echo(word)
    await heard
  }
  monitor.on('monitor', (_time: string, [command = '', ...rest]: string[]) => {
    if (rest[0] === purchase.sha1) asked.decisions += 1
    else if (rest.some((text) => text.includes(':passes:'))) asked.others.push([command, ...rest].join(' '))
  })
  const headers = { ...json, authorization: `Bearer ${await accessToken(tenantId, 'anna')}` }
  const offer = await own.get(path(activityId, 'challenge'), headers)
  const body = JSON.stringify({ challengeAnswer: solve(offer.body) })
  t.is((await own.post(path(activityId, 'pass'), headers, body)).status, 200)
  await allReported()
  const atPassTime = asked.others.length
  t.true(atPassTime > 0)
  // The first call sends the script's text, the others its hash.
  await own.press(activityId, 'first')
  await allReported()
  asked.decisions = 0
  for (let index = 0; index < 20; index++) t.is((await own.press(activityId, `user-${index}`)).status, 202)
  await allReported()
  t.is(asked.decisions, 20)
  t.is(asked.others.length, atPassTime)
})
