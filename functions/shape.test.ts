/** The rules of the house that a machine can hold. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { functions } from './index.ts'

const root = import.meta.dirname
const folders = readdirSync(root).filter((name) => statSync(join(root, name)).isDirectory())

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .map((name) => join(folder, name))
}

const importPattern = /(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g

test('functions – the list holds every folder', (t) => {
  t.deepEqual(functions.map(({ name }) => name).sort(), folders.sort())
})

test('functions – none imports another function, and none is imported from outside by path', (t) => {
  let looked = 0
  for (const folder of folders) {
    for (const file of sources(join(root, folder))) {
      for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(importPattern)) {
        looked++
        if (!specifier.startsWith('.')) {
          t.false(/functions\//.test(specifier), `${relative(root, file)} imports ${specifier}`)
          continue
        }
        const target = relative(join(root, folder), resolve(dirname(file), specifier))
        t.false(target.startsWith('..'), `${relative(root, file)} imports ${specifier}`)
      }
    }
  }
  t.true(looked > 100)
})

for (const folder of folders) {
  test(`${folder} – has the shape of a function`, (t) => {
    for (const file of ['README.md', 'func.yaml', 'package.json', 'index.ts', 'main.ts']) {
      t.true(existsSync(join(root, folder, file)), `${folder}/${file} is missing`)
    }
    const packageFile = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
      type?: string
      scripts?: Record<string, string>
    }
    t.like(packageFile, { type: 'module' })
    t.truthy(packageFile.scripts?.['start'])
    const manifest = parse(readFileSync(join(root, folder, 'func.yaml'), 'utf8')) as Record<string, unknown>
    t.like(manifest, { specVersion: '0.36.0', name: folder, runtime: 'node' })
    t.truthy(manifest['created'])
  })
}

test('func.yaml – subscriptions, where they are given, are those of the declaration', (t) => {
  for (const definition of functions) {
    const manifest = parse(readFileSync(join(root, definition.name, 'func.yaml'), 'utf8')) as {
      deploy?: { subscriptions?: { filters: { type: string } }[] }
    }
    const given = manifest.deploy?.subscriptions?.map((subscription) => subscription.filters.type)
    if (!given) continue
    const declared = (definition.events ?? [])
      .filter(({ options }) => !options.kafkaTopic)
      .map(({ event }) => event.type)
    t.deepEqual(given.sort(), declared.sort(), definition.name)
  }
})

test('func.yaml of the collection – names the collection', (t) => {
  t.like(parse(readFileSync(join(root, '..', 'func.yaml'), 'utf8')), {
    specVersion: '0.36.0',
    name: 'stampede',
    runtime: 'node',
  })
})
