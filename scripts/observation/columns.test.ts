import test from 'ava'
import { columnsOf, toCsv } from './columns.ts'
import { exampleSamples } from './testing.ts'

const rowsOf = (csv: string) =>
  csv
    .trimEnd()
    .split('\r\n')
    .map((line) => line.split(','))

test('CSV – one row a second, every row as long as the head, unknown values empty and not zero', (t) => {
  const samples = exampleSamples()
  const [head, ...rows] = rowsOf(toCsv(samples))
  t.is(rows.length, samples.length)
  t.true(rows.every((row) => row.length === head!.length))
  const cell = (row: number, name: string) => rows[row]![head!.indexOf(name)]
  t.is(cell(0, 'time'), '2026-01-01T00:00:00.000Z')
  t.is(cell(7, 'phase'), 'warm')
  t.is(cell(7, 'seckill_pods_ready'), '1')
  t.is(cell(7, 'seckill_desired'), '3')
  t.is(cell(7, 'seckill_concurrency'), '1.25')
  t.is(cell(7, 'load_p99_ms'), '40')
  t.is(cell(7, 'lag_trigger_stampede_order'), '7')
  t.is(cell(7, 'stock_left'), '93')
  t.is(cell(12, 'seckill_pods_ready'), '', 'a gap')
  t.is(cell(12, 'stock_left'), '')
  t.is(cell(0, 'load_sent_per_second'), '')
  t.is(cell(0, 'seckill_pods_ready'), '0', 'a true zero')
})

test('CSV – names of columns are unique and each is described', (t) => {
  const columns = columnsOf(exampleSamples())
  t.is(new Set(columns.map(({ name }) => name)).size, columns.length)
  t.true(columns.every(({ description }) => description.length > 2))
})

test('CSV – text with separators is quoted, numbers that are none are empty', (t) => {
  const [sample] = exampleSamples()
  const csv = toCsv([{ ...sample!, phase: 'a "b", c', lag: { x: Number.NaN } }])
  t.true(csv.includes('"a ""b"", c"'))
  t.true(csv.split('\r\n')[1]!.includes(',,'))
  t.false(csv.includes('NaN'))
})
