import test from 'ava'
import {
  coldStartLines,
  compareColdStarts,
  helloSpec,
  measureColdStarts,
  withoutSurroundings,
  type ColdStartTarget,
} from './cold-start.ts'

test('cold start – medians and the ratios to hello and to the bare hello', (t) => {
  const results = compareColdStarts(
    new Map([
      ['order', [260, 240, 900]],
      ['activity', [200, 220]],
      ['hello', [100, 300, 200]],
      ['hello-bare', [100, 160, 90]],
    ]),
  )
  t.deepEqual(
    results.map(({ name, medianMs, ratioToHello, ratioToBareHello }) => [
      name,
      medianMs,
      ratioToHello,
      ratioToBareHello,
    ]),
    [
      ['order', 260, 1.3, 2.6],
      ['activity', 210, 1.05, 2.1],
      ['hello', 200, 1, 2],
      ['hello-bare', 100, 0.5, 1],
    ],
  )
  t.is(coldStartLines(results)[0], '  order                260 ms   1.30 × hello   2.60 × hello-bare   (260, 240, 900)')
})

test('cold start – without hello there is no ratio', (t) => {
  const results = compareColdStarts(new Map([['order', [5]]]))
  t.is(results[0]?.ratioToHello, null)
  t.is(results[0]?.ratioToBareHello, null)
  t.is(coldStartLines(results)[0], '  order                  5 ms   (5)')
})

test("cold start – hello gets the function's pod, the bare hello only its resources and security", (t) => {
  const resources = { limits: { cpu: '1' } }
  const volumes = [{ name: 'temporary', emptyDir: {} }]
  const container = {
    name: 'user-container',
    image: 'stampede/order',
    command: ['node', 'order.js'],
    args: ['--order'],
    env: [{ name: 'A', value: 'b' }],
    volumeMounts: [{ name: 'temporary', mountPath: '/tmp' }],
    resources,
  }
  const hello = helloSpec({ timeoutSeconds: 60, volumes, containers: [container] }, 'stampede/hello')
  t.deepEqual(hello, {
    timeoutSeconds: 60,
    volumes,
    containers: [
      {
        name: 'user-container',
        image: 'stampede/hello',
        env: container.env,
        volumeMounts: container.volumeMounts,
        resources,
      },
    ],
  })
  t.deepEqual(withoutSurroundings(hello), {
    timeoutSeconds: 60,
    containers: [{ name: 'user-container', image: 'stampede/hello', resources }],
  })
})

function stage(names: readonly string[]) {
  const log: string[] = []
  const pods = new Map(names.map((name) => [name, 1]))
  const targets = names.map((name): ColdStartTarget => ({
    name,
    send: async () => {
      log.push(name)
      if (pods.get(name) !== 0) throw new Error(`${name} was not at zero`)
      pods.set(name, 2)
      return { status: 200, headers: {}, durationMs: 100 }
    },
    countPods: async () => pods.get(name)!,
  }))
  let nowMs = 0
  const sleep = async (ms: number) => {
    nowMs += ms
    for (const [name, count] of pods) pods.set(name, Math.max(0, count - 1))
  }
  return { log, targets, effects: { say: () => undefined, sleep, nowMs: () => nowMs } }
}

test('cold start – every target is asked once a round, from zero pods, behind another one each time', async (t) => {
  const { log, targets, effects } = stage(['hello', 'a', 'b'])
  const draws = [0.99, 0.99, 0, 0, 0.99, 0]
  const random = () => draws.shift()!
  const results = await measureColdStarts(targets, { rounds: 3, zeroWithinMs: 60_000 }, { ...effects, random })
  t.deepEqual(log, ['hello', 'a', 'b', 'a', 'b', 'hello', 'a', 'hello', 'b'])
  t.deepEqual(
    results.map(({ roundsMs }) => roundsMs.length),
    [3, 3, 3],
  )
})

test('cold start – a function that does not go to zero, or for which somebody else answers, ends the measure', async (t) => {
  const { targets, effects } = stage(['a'])
  await t.throwsAsync(
    measureColdStarts([{ ...targets[0]!, countPods: async () => 1 }], { rounds: 1, zeroWithinMs: 5_000 }, effects),
    { message: /a still has pods after 5 s/ },
  )
  const answering = (status: number, type: string) =>
    measureColdStarts(
      [{ ...targets[0]!, send: async () => ({ status, headers: { 'content-type': type }, durationMs: 1 }) }],
      { rounds: 1, zeroWithinMs: 5_000 },
      effects,
    )
  await t.throwsAsync(answering(503, 'application/problem+json'), { message: /answered 503/ })
  await t.throwsAsync(answering(404, 'text/plain'), { message: /answered 404/ }, 'an ingress that knows no such name')
  t.is((await answering(404, 'application/problem+json; charset=utf-8')).length, 1, 'the gateway hides its own pages')
})
