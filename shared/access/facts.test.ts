import test from 'ava'
import { maximumPassMs } from '../identity/pass.ts'
import { enterFact, factLines, forgetOldFacts, type UserFacts } from './facts.ts'

const nowMs = 1_800_000_000_000
const dayMs = 86_400_000

/** As a process knows them after Redis was told. */
function known(atMs: number): Map<string, UserFacts> {
  const facts = new Map<string, UserFacts>()
  const correction = { atMs, blocked: true, roles: ['support'], signedOut: true, revokedSessions: ['s1'] }
  for (const line of factLines('ann', correction).split('\n')) {
    const [field = '', at, , value] = line.split(' ')
    enterFact(facts, field, `${at} ${value}`)
  }
  return facts
}

test('facts – a revoked session is remembered while a token or pass of it may be alive, and not for days', (t) => {
  for (const [agoMs, isKnown] of [
    [maximumPassMs + 60_000, true],
    [dayMs, false],
  ] as const) {
    const facts = known(nowMs - agoMs)
    forgetOldFacts(facts, nowMs)
    t.is(facts.get('ann')?.sessions?.has('s1') ?? false, isKnown)
    t.true(facts.get('ann')?.blocked?.value, 'accounts are remembered for longer')
    t.is(facts.get('ann')?.signedOutAtMs, nowMs - agoMs)
  }
  const facts = known(nowMs - 3 * dayMs)
  forgetOldFacts(facts, nowMs)
  t.is(facts.size, 0)
})

test('facts – Redis keeps a revoked session as long as a process does', (t) => {
  const [line = ''] = factLines('ann', { atMs: nowMs, revokedSessions: ['s1'] }).split('\n')
  const lastsMs = Number(line.split(' ')[2])
  t.true(lastsMs > maximumPassMs)
  const facts = known(nowMs - lastsMs)
  forgetOldFacts(facts, nowMs)
  t.true(facts.get('ann')?.sessions?.has('s1'))
  forgetOldFacts(facts, nowMs + 1)
  t.is(facts.get('ann')?.sessions, undefined)
})
