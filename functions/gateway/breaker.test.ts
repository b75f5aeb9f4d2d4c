import test from 'ava'
import { createBreaker, type Breaker, type BreakerSettings } from './breaker.ts'
import { createRetryBudget } from './retry-budget.ts'

const settings: BreakerSettings = {
  enabled: true,
  windowMs: 10_000,
  minimumRequests: 10,
  failureShare: 0.5,
  openMs: 5_000,
  probes: 2,
}

function send(breaker: Breaker, nowMs: number, outcome: 'succeeded' | 'failed'): boolean {
  const permit = breaker.enter(nowMs)
  if (!permit) return false
  breaker[outcome](permit, nowMs)
  return true
}

function opened(nowMs = 0): Breaker {
  const breaker = createBreaker(settings)
  for (let count = 0; count < 10; count++) send(breaker, nowMs, 'failed')
  return breaker
}

test('breaker – few requests decide nothing', (t) => {
  const breaker = createBreaker(settings)
  for (let count = 0; count < 9; count++) send(breaker, 0, 'failed')
  t.is(breaker.state(), 'closed')
  send(breaker, 0, 'failed')
  t.is(breaker.state(), 'open')
})

test('breaker – a share below the limit keeps it closed', (t) => {
  const breaker = createBreaker(settings)
  for (let count = 0; count < 100; count++) {
    send(breaker, count, 'succeeded')
    send(breaker, count, 'succeeded')
    send(breaker, count, 'failed')
  }
  t.is(breaker.state(), 'closed')
})

test('breaker – failures of long ago are forgotten', (t) => {
  const breaker = createBreaker(settings)
  for (let count = 0; count < 9; count++) send(breaker, 0, 'failed')
  send(breaker, 11_000, 'failed')
  t.is(breaker.state(), 'closed')
})

test('breaker – open: nothing passes until the time is over, then as many as there are probes', (t) => {
  const breaker = opened()
  t.is(breaker.enter(4_999), undefined)
  t.is(breaker.remainingMs(4_000), 1_000)
  const probes = [breaker.enter(5_000), breaker.enter(5_000)]
  t.true(probes.every((permit) => permit !== undefined))
  t.is(breaker.enter(5_000), undefined)
  t.is(breaker.state(), 'half-open')
  breaker.succeeded(probes[0]!, 5_100)
  t.is(breaker.state(), 'half-open')
  breaker.succeeded(probes[1]!, 5_100)
  t.is(breaker.state(), 'closed')
})

test('breaker – one probe that fails opens it again, and what the others say then is nothing to the next ones', (t) => {
  const breaker = opened()
  const first = breaker.enter(5_000)!
  const second = breaker.enter(5_000)!
  breaker.failed(first, 5_100)
  t.is(breaker.state(), 'open')
  t.is(breaker.enter(10_099), undefined)
  const third = breaker.enter(10_100)!
  breaker.succeeded(second, 10_100)
  t.is(breaker.state(), 'half-open')
  breaker.succeeded(third, 10_100)
  t.is(breaker.state(), 'half-open')
  const fourth = breaker.enter(10_100)
  t.is(breaker.enter(10_100), undefined)
  breaker.succeeded(fourth!, 10_200)
  t.is(breaker.state(), 'closed')
})

test('breaker – a probe whose client goes away makes room for another', (t) => {
  const breaker = opened()
  const permits = [breaker.enter(5_000)!, breaker.enter(5_000)!]
  breaker.forgotten(permits[0]!)
  t.truthy(breaker.enter(5_000))
})

test('breaker – after it closed, the failures before it opened do not count', (t) => {
  const breaker = opened()
  for (const permit of [breaker.enter(5_000)!, breaker.enter(5_000)!]) breaker.succeeded(permit, 5_000)
  for (let count = 0; count < 9; count++) send(breaker, 5_000, 'failed')
  t.is(breaker.state(), 'closed')
})

test('breaker – answers to requests from before it opened change nothing', (t) => {
  const breaker = createBreaker(settings)
  const late = breaker.enter(0)!
  for (let count = 0; count < 10; count++) send(breaker, 0, 'failed')
  breaker.succeeded(late, 100)
  breaker.failed(late, 100)
  t.is(breaker.state(), 'open')
  t.is(breaker.remainingMs(100), 4_900)
})

test('breaker – switched off, everything passes', (t) => {
  const breaker = createBreaker({ ...settings, enabled: false })
  for (let count = 0; count < 100; count++) t.true(send(breaker, 0, 'failed'))
})

test('retry budget – a share of the requests, and a few after a quiet time', (t) => {
  const budget = createRetryBudget({ share: 0.1, burst: 3 })
  t.deepEqual([budget.spend(), budget.spend(), budget.spend(), budget.spend()], [true, true, true, false])
  for (let count = 0; count < 10; count++) budget.earned()
  t.deepEqual([budget.spend(), budget.spend()], [true, false])
  for (let count = 0; count < 1_000; count++) budget.earned()
  t.is([1, 2, 3, 4, 5].filter(() => budget.spend()).length, 3)
})
