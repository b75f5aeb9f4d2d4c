import test from 'ava'
import { z } from 'zod'
import { parseDocument } from './parse-document.ts'

const schema = z.object({
  rate: z.int().min(1),
  limits: z.strictObject({ user: z.int(), 'a/b': z.int().optional() }).optional(),
})
const problems = (text: string): string[] => {
  const parsed = parseDocument(text, schema)
  return 'problems' in parsed ? parsed.problems.map(({ pointer, detail }) => `${pointer} ${detail}`) : []
}
const pointers = (text: string): string[] => problems(text).map((problem) => problem.split(' ', 1)[0]!)

test('parseDocument – takes YAML and JSON, with a version that is a number or a text', (t) => {
  t.deepEqual(parseDocument('version: 7\nrate: 5\n', schema), { version: '7', value: { rate: 5 } })
  t.deepEqual(parseDocument('{"version":"2026-11-21.1","rate":5}', schema), {
    version: '2026-11-21.1',
    value: { rate: 5 },
  })
})

test('parseDocument – tells all problems at once, each at its place', (t) => {
  t.deepEqual(pointers('rate: none\nlimits: {user: x, a/b: x, other: 1}\nmisspelled: 1\n').toSorted(), [
    '/limits/a~1b',
    '/limits/other',
    '/limits/user',
    '/misspelled',
    '/rate',
    '/version',
  ])
})

test('parseDocument – a name that nobody knows is a problem although the schema would drop it', (t) => {
  t.deepEqual(problems('version: 1\nrate: 5\nRATE: 6\n'), ['/RATE nobody knows this name'])
})

test('parseDocument – a version that YAML reads as a decimal number is refused', (t) => {
  t.deepEqual(pointers('version: 1.10\nrate: 5\n'), ['/version'])
})

test('parseDocument – broken text has the line, and never an extract of the text', (t) => {
  const found = problems('version: 1\nrate: 5\nsecret: "hunter2\n')
  t.regex(found[0]!, /line \d/)
  t.false(found.join(' ').includes('hunter2'))
})

for (const [title, text] of [
  ['an empty text', ''],
  ['a list', '- 1'],
  ['a plain text', 'hello'],
  ['the same name twice', 'version: 1\nrate: 5\nrate: 6\n'],
  ['two documents', 'version: 1\nrate: 5\n---\nversion: 2\nrate: 5\n'],
  ['an unknown tag', 'version: 1\nrate: !secret 5\n'],
  ['aliases of aliases', bomb()],
  ['a name that changes prototypes', '{"version":1,"rate":5,"__proto__":{"x":1}}'],
] as const) {
  test(`parseDocument – refuses ${title}`, (t) => {
    t.is(problems(text).length > 0, true)
  })
}

test('parseDocument – a schema that breaks is a problem and not an exception', (t) => {
  const breaking = z.strictObject({ rate: z.int() }).transform((): number => {
    throw new Error('broken')
  })
  t.deepEqual(parseDocument('version: 1\nrate: 5\n', breaking), {
    version: '1',
    problems: [{ pointer: '', detail: 'broken' }],
  })
})

test('parseDocument – the value cannot be changed by its readers', (t) => {
  const parsed = parseDocument('version: 1\nrate: 5\nlimits: {user: 1}\n', schema)
  t.true('value' in parsed && Object.isFrozen(parsed.value) && Object.isFrozen(parsed.value.limits))
})

function bomb(): string {
  const levels = Array.from({ length: 9 }, (_none, level) => {
    const before = level === 0 ? 'x' : `*a${level - 1}`
    return `a${level}: &a${level} [${Array.from({ length: 9 }, () => before).join(',')}]`
  })
  return ['version: 1', 'rate: 5', ...levels].join('\n')
}
