import test from 'ava'
import { blockLines, plainLine, sparkline } from './live-view.ts'
import { judgeGenerator } from './summary.ts'
import { exampleSamples, loadSecond } from './testing.ts'

test('live view – a sparkline shows height, zero and gaps apart', (t) => {
  t.is(sparkline([0, undefined, 8, 4, 0.01]), '▁ █▅▂')
  t.is(sparkline([0, 0]), '▁▁')
})

test('live view – a line holds phase, load, stock, lag and pods; what is not known is a dash', (t) => {
  const samples = exampleSamples()
  const line = plainLine(samples[8]!)
  for (const part of ['8 s', 'warm', '100/s', 'p99 40.0', 'left 92', 'lag 8', 'seckill 1/3'])
    t.true(line.includes(part), `${part} in ${line}`)
  t.false(plainLine(samples[12]!).includes('undefined'))
})

test('live view – the block fits the terminal and names every function', (t) => {
  const lines = blockLines(exampleSamples().slice(0, 9), 120)
  t.true(lines.some((line) => line.includes('seckill') && line.includes('ready 1 of 3')))
  t.true(lines.every((line) => line.length < 160))
  t.deepEqual(blockLines([], 80), [])
})

test('generator – says when it was the bottleneck itself, and not for a single slow second', (t) => {
  const [sample] = exampleSamples()
  const judge = (...seconds: Parameters<typeof loadSecond>[0][]) =>
    judgeGenerator(
      seconds.map((second) => ({ ...sample!, load: loadSecond(second) })),
      0,
    ).bottleneck
  t.is(judge({}, { loopDelayMs: 900 }, {}), null)
  t.regex(judge({}, { loopDelayMs: 900 }, { loopDelayMs: 300 }) ?? '', /900 ms late/)
  t.regex(judge({ cpuShare: 0.97 }, { cpuShare: 0.99 }) ?? '', /99 % of a core/)
  t.regex(judgeGenerator([], 5).bottleneck ?? '', /5 requests were due and not sent/)
})
