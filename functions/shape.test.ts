/** The rules of the house that a machine can hold. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { z } from 'zod'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { alarmDue } from '@stampede/eventing/catalogue/alarm-events.ts'
import { hasAlarms } from '@stampede/shared/function/host-alarms.ts'
import { everyFunction, functions } from './index.ts'

type PackageFile = {
  scripts?: Record<string, string>
  engines?: Record<string, string>
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

const root = import.meta.dirname
const folders = readdirSync(root).filter((name) => statSync(join(root, name)).isDirectory())

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .map((name) => join(folder, name))
}

const importPattern = /(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g

test('functions – the list holds every folder', (t) => {
  t.deepEqual(everyFunction.map(({ name }) => name).sort(), folders.sort())
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

type Manifest = {
  build: { buildEnvs: { name: string; value: string }[] }
  run: { envs: { name: string; value: string }[]; volumes?: { configMap: string; path: string }[] }
  deploy: {
    healthEndpoints: Record<string, string>
    subscriptions: { source: string; filters: { type: string; subject?: string } }[]
    options: {
      scale: { min: number; max: number }
      resources: { requests: Record<string, string>; limits: Record<string, string | number> }
    }
  }
}

const readManifest = (folder: string) => parse(readFileSync(join(folder, 'func.yaml'), 'utf8')) as Manifest
const collectionFolder = join(root, '..')
const manifests: [string, readonly AnyFunction[], Manifest][] = [
  ...everyFunction.map((definition): [string, readonly AnyFunction[], Manifest] => [
    definition.name,
    [definition],
    readManifest(join(root, definition.name)),
  ]),
  ['stampede', functions, readManifest(collectionFolder)],
]

/** zod heeds `required` only of properties that are described beside it: those of a `oneOf` are described one level up. */
const described = (_key: string, value: unknown): unknown => {
  const { required, properties } = (value ?? {}) as { required?: string[]; properties?: unknown }
  if (!Array.isArray(required) || properties !== undefined) return value
  return { type: 'object', properties: Object.fromEntries(required.map((name) => [name, {}])), ...(value as object) }
}

const funcSchema = z.fromJSONSchema(
  JSON.parse(
    readFileSync(join(root, '..', 'knative', 'schema', 'func_yaml-schema.json'), 'utf8'),
    described,
  ) as z.core.JSONSchema.JSONSchema,
)

for (const [name, definitions, manifest] of manifests) {
  test(`func.yaml of ${name} – is what func's own schema allows`, (t) => {
    const checked = funcSchema.safeParse(manifest)
    t.true(checked.success, checked.error && z.prettifyError(checked.error))
  })

  test(`func.yaml of ${name} – subscribes to what is declared, once`, (t) => {
    const given = manifest.deploy.subscriptions.map(({ source, filters: { type, subject } }) =>
      subject === undefined ? `${source} ${type}` : `${source} ${type} of ${subject}`,
    )
    const declared = definitions
      .flatMap(({ events }) => events ?? [])
      .filter(({ options }) => !options.kafkaTopic)
      .map(({ event }) => `default ${event.type}`)
    // The alarms of others are not its own; the collection has all of them.
    const alarm = `default ${alarmDue.type}${definitions.length === 1 ? ` of ${name}` : ''}`
    const alarms = definitions.some(hasAlarms) ? [alarm] : []
    t.deepEqual(given.toSorted(), [...new Set(declared), ...alarms].toSorted())
  })

  test(`func.yaml of ${name} – sets every variable without which it does not start, from Secrets and the ConfigMap alone`, (t) => {
    const given = new Map(manifest.run.envs.map((entry) => [entry.name, entry.value]))
    t.is(given.size, manifest.run.envs.length)
    const needed = definitions.flatMap(({ config }) =>
      (config.safeParse({}).error?.issues ?? []).map(({ path }) => String(path[0])),
    )
    t.true(needed.length > 0)
    const always = [
      'AUTH_JWKS',
      'AUTH_JWKS_URL',
      'AUTH_ISSUER',
      'AUTH_AUDIENCE',
      'SERVICE_SECRET',
      'EVENT_AUTHENTICATION',
      'ACCESS_CONTROL',
      'REDIS_URL',
      'CONFIGURATION_FOLDER',
      'LOG_LEVEL',
      'OTEL_EXPORTER_OTLP_ENDPOINT',
    ]
    t.deepEqual(
      [...needed, ...always].filter((variable) => !given.has(variable)),
      [],
    )
    // Node's own: the same everywhere, and nobody's secret.
    t.regex(given.get('NODE_OPTIONS') ?? '', /^--max-old-space-size-percentage=\d+$/)
    given.delete('NODE_OPTIONS')
    t.deepEqual(manifest.run.volumes, [
      { configMap: 'stampede-configuration', path: given.get('CONFIGURATION_FOLDER') ?? '' },
    ])
    given.delete('CONFIGURATION_FOLDER')
    for (const [variable, value] of given) {
      t.regex(value, /^\{\{ (secret:stampede-[a-z-]+|configMap:stampede):[a-z-]+ \}\}$/, variable)
    }
  })

  test(`func.yaml of ${name} – has probes, limits, Node's version and a scale`, (t) => {
    const { healthEndpoints, options } = manifest.deploy
    t.deepEqual(healthEndpoints, { liveness: '/health/liveness', readiness: '/health/readiness' })
    t.truthy(options.resources.requests['cpu'] && options.resources.requests['memory'])
    t.truthy(options.resources.limits['cpu'] && options.resources.limits['memory'])
    t.is(typeof options.resources.limits['concurrency'], 'number')
    t.true(manifest.build.buildEnvs.some((entry) => entry.name === 'BP_NODE_VERSION' && entry.value === '24.*'))
    // The sale and its entrance wait for nobody; everything else costs nothing while nobody wants it.
    t.is(
      options.scale.min > 0,
      definitions.some(({ name: one }) => one === 'seckill' || one === 'gateway'),
    )
    t.true(options.scale.max >= options.scale.min)
  })
}

test("func.yaml – func's schema refuses what func would refuse", (t) => {
  const planted: [string, (manifest: Record<string, unknown> & Manifest) => void][] = [
    ['an unknown field', (manifest) => void (manifest['scale'] = {})],
    ['a name that is no name', (manifest) => void (manifest['name'] = 'Order_1')],
    ['no date', (manifest) => void delete manifest['created']],
    ['an unknown metric', (manifest) => void Object.assign(manifest.deploy.options.scale, { metric: 'cpu' })],
    ['a window', (manifest) => void Object.assign(manifest.deploy.options.scale, { window: '60s' })],
    ['memory in words', (manifest) => void (manifest.deploy.options.resources.limits['memory'] = 'plenty')],
    ['a subscription to nothing', (manifest) => void manifest.deploy.subscriptions.push({} as never)],
    ['a volume of two kinds', (manifest) => void Object.assign(manifest.run.volumes![0]!, { secret: 'x' })],
    ['a variable with a blank', (manifest) => void (manifest.run.envs[0]!.name = 'LOG LEVEL')],
  ]
  for (const [what, plant] of planted) {
    const manifest = readManifest(join(root, 'order')) as Record<string, unknown> & Manifest
    t.true(funcSchema.safeParse(manifest).success)
    plant(manifest)
    t.false(funcSchema.safeParse(manifest).success, what)
  }
})

test('func.yaml of the collection – names the collection', (t) => {
  t.like(parse(readFileSync(join(collectionFolder, 'func.yaml'), 'utf8')), {
    specVersion: '0.36.0',
    name: 'stampede',
    runtime: 'node',
  })
})

for (const folder of folders) {
  test(`${folder} – runs its bundle, and leaves sources out of images but not the bundle`, (t) => {
    const packageFile = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as PackageFile
    const rootFile = JSON.parse(readFileSync(join(collectionFolder, 'package.json'), 'utf8')) as PackageFile
    t.deepEqual(packageFile.scripts, { start: 'node dist/main.js', compile: 'node dist/compile.js' })
    t.deepEqual(packageFile.engines, { node: '^24' })
    // It is inside the bundle: pinned here, and nothing is installed where the function runs.
    t.deepEqual(packageFile.devDependencies, { 'faas-js-runtime': rootFile.dependencies!['faas-js-runtime']! })
    t.is(packageFile.dependencies, undefined)
    const left = readFileSync(join(root, folder, '.funcignore'), 'utf8')
    t.regex(left, /^\*\.ts$/m)
    // "func deploy --remote" also leaves out what this file names.
    const ignored = readFileSync(join(root, folder, '.gitignore'), 'utf8')
    for (const text of [left, ignored]) t.notRegex(text, /^[^#]*(dist|\.js|json|yaml)/m)
  })
}
