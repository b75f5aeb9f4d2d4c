import { readFile } from 'node:fs/promises'
import test from 'ava'
import { LuaFactory } from 'wasmoon'
import { generate, readScripts } from './generate.ts'

const scripts = await readScripts()

test('generated module – is what the scripts give now', async (t) => {
  for (const { path, content } of await generate()) {
    const written = await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
    t.true(written === content, `${path} is stale: npm run generate`)
  }
})

for (const script of scripts) {
  test(`${script.name}.lua – the header says how many keys and arguments the code reads`, (t) => {
    const used = (table: string) =>
      [
        ...new Set(
          [...script.code.matchAll(new RegExp(`\\b${table}\\[(\\d+)\\]`, 'g'))].map((match) => Number(match[1])),
        ),
      ].sort((a, b) => a - b)
    const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
    t.deepEqual(used('KEYS'), upTo(script.numberOfKeys))
    t.deepEqual(used('ARGV'), upTo(script.numberOfArguments))
  })

  test(`${script.name}.lua – the header lists each key, each argument, the results and the complexity`, (t) => {
    const header = script.text.split('\n').filter((line) => line.startsWith('-- '))
    const listed = (from: string) => {
      const begin = header.findIndex((line) => line.startsWith(from))
      t.not(begin, -1, from)
      const rest = header.slice(begin + 1)
      const end = rest.findIndex((line) => /^-- [A-Z]/.test(line))
      return rest.slice(0, end).filter((line) => /^-- {3}\d {2}\w/.test(line)).length
    }
    t.is(listed('-- KEYS'), script.numberOfKeys)
    t.is(listed('-- ARGV'), script.numberOfArguments)
    t.true(header.some((line) => line.startsWith('-- Returns ')))
    t.true(header.some((line) => line.startsWith('-- Complexity: ')))
  })

  test(`${script.name}.lua – compiles under Lua 5.4, too`, async (t) => {
    const lua = await new LuaFactory().createEngine()
    try {
      lua.global.set('code', script.code)
      t.is(await lua.doString('local compiled, message = load(code); return message or "compiled"'), 'compiled')
    } finally {
      lua.global.close()
    }
  })

  test(`${script.name}.lua – is written in what Lua 5.1 and 5.4 have in common`, (t) => {
    const outside = [
      /\bcjson\b/,
      /\bcmsgpack\b/,
      /\bstruct\./,
      /\bbit\./,
      /\/\//,
      /\bgoto\b/,
      /\bsetfenv\b/,
      /\btable\.getn\b/,
      /\blen\(/,
    ]
    for (const pattern of outside) t.notRegex(script.code, pattern)
    // Division gives a float in 5.4 and is written as one in a text: it must be made an integer on the spot.
    for (const line of script.code.split('\n').filter((text) => text.includes(' / '))) t.regex(line, /math\.floor\(/)
  })
}
