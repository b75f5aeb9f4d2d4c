import test from 'ava'
import { withoutTopLevelAwait } from './bundle.ts'
import { chooseTargets, findTargets } from './targets.ts'
import { join } from 'node:path'

test('entry of a bundle – what comes after the imports moves into a function', (t) => {
  const source = `/** Starts it. */\nimport { a } from 'a'\nimport {\n  b,\n} from './b.ts'\nimport 'c'\n\nconst text = "import { x } from 'x'"\nawait a(b, text)\n`
  const lines = withoutTopLevelAwait(source).split('\n')
  const opening = lines.indexOf('void (async () => {')
  t.is(lines[opening - 1], "import 'c'")
  t.deepEqual(
    lines.slice(opening + 1).filter((line) => line !== ''),
    [`const text = "import { x } from 'x'"`, 'await a(b, text)', '})()'],
  )
})

test('entry of a bundle – one with exports, with a late import or without imports is refused', (t) => {
  for (const source of [
    "import { a } from 'a'\nexport const b = a\n",
    "import { a } from 'a'\na()\nimport { b } from 'b'\n",
    'await 1\n',
  ]) {
    t.throws(() => withoutTopLevelAwait(source), { message: /imports at its beginning only, and no exports/ })
  }
})

test('targets – names choose, an unknown one is told with those that there are', (t) => {
  const all = findTargets(join(import.meta.dirname, '..', '..'))
  t.deepEqual(chooseTargets(all, []), all)
  t.deepEqual(
    chooseTargets(all, ['seckill', 'order']).map(({ name }) => name),
    ['order', 'seckill'],
  )
  t.deepEqual(
    all.filter(({ kind }) => kind !== 'function').map(({ name }) => name),
    ['stampede', 'eventing-engine'],
  )
  t.throws(() => chooseTargets(all, ['ordr']), { message: /There is no ordr to build.*seckill/ })
})
