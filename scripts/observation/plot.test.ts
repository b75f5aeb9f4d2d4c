import test from 'ava'
import { renderPlot, scaleTo, stretches } from './plot.ts'

test('plot – the scale ends at a round number at or above the highest value', (t) => {
  t.deepEqual(
    [0, 1, 3, 7, 99, 101, 1_234].map((highest) => scaleTo(highest).top),
    [1, 1, 3, 8, 100, 150, 1_500],
  )
})

test('plot – a gap ends a line and the next value begins another', (t) => {
  t.deepEqual(stretches([undefined, 1, 2, undefined, undefined, 3]), [
    [1, 3],
    [5, 6],
  ])
  const svg = renderPlot(
    {
      id: 'p',
      title: 'T',
      description: 'D',
      unit: 'u',
      series: [{ name: 'one', style: 0, values: [1, undefined, 2, 2] }],
    },
    [0, 1, 2, 3],
    [],
  )
  const d = / d="([^"]*)"/.exec(svg)?.[1] ?? ''
  t.is(d.match(/M/g)?.length, 2)
  t.true(svg.includes('data-points="3"'))
})

test('plot – names cannot become markup', (t) => {
  const svg = renderPlot(
    { id: 'p', title: '<script>', description: '"&', unit: 'u', series: [{ name: '<b>', style: 0, values: [1] }] },
    [0],
    [{ name: '<i>', from: 0, to: 1 }],
  )
  t.notRegex(svg, /<script>|<b>|<i>/)
})
