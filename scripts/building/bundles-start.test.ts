/**
 * What `npm run build` makes runs by itself: built into a folder outside the repository, started as its package.json says, ready with the real
 * services, a request answered, and on SIGTERM the end with 0.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import test from 'ava'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freePort, freshDatabase, serviceAddresses } from '@stampede/shared/testing/services.ts'
import { buildTarget } from './build-target.ts'
import { functionEnvironment } from './environment.ts'
import { findTargets, type Target } from './targets.ts'

const root = join(import.meta.dirname, '..', '..')
const all = findTargets(root)
const readyWithinMs = 60_000

let outside: string
let database: Awaited<ReturnType<typeof freshDatabase>>
let environment: Record<string, string>
const children = new Set<ChildProcess>()

test.before(async () => {
  outside = await mkdtemp(join(tmpdir(), 'stampede-bundles-test-'))
  database = await freshDatabase()
  const { redisUrl, kafkaBrokers } = serviceAddresses()
  const identity = await createTestIdentity()
  const services = { REDIS_URL: redisUrl, DATABASE_URL: database.url, KAFKA_BROKERS: kafkaBrokers.join(',') }
  environment = { ...functionEnvironment(services, identity.environment), LOG_LEVEL: 'warn' }
})
test.after.always(async () => {
  // What a failed test left running would keep the tests from ending.
  for (const child of children) child.kill('SIGKILL')
  await database?.drop()
  await rm(outside, { recursive: true, force: true })
})

const builds = new Map<string, Promise<string>>()

/** The folder of a target with what `func` and a container build take from it; built once. */
function builtOutside(target: Target): Promise<string> {
  const build = builds.get(target.name) ?? buildOutside(target)
  builds.set(target.name, build)
  return build
}

async function buildOutside(target: Target): Promise<string> {
  const folder = join(outside, target.name)
  await mkdir(folder)
  await cp(join(target.folder, 'package.json'), join(folder, 'package.json')).catch(() => undefined)
  await buildTarget({ ...target, folder }, root)
  return folder
}

type Running = { url: string; log(): string; end(): Promise<{ code: number | null; signal: string | null }> }

/** Runs the start script of the folder's package.json, without a shell, as a container does. */
async function start(folder: string, more: Record<string, string> = {}): Promise<Running> {
  const { scripts } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    scripts: { start: string }
  }
  const [program, ...args] = scripts.start.split(' ')
  const port = await freePort()
  const child = spawn(program === 'node' ? process.execPath : program!, args, {
    cwd: folder,
    env: { ...environment, ...more, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += String(chunk)))
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  const url = `http://127.0.0.1:${port}`
  const untilMs = Date.now() + readyWithinMs
  while (!(await fetch(`${url}/health/readiness`).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || Date.now() > untilMs) {
      child.kill('SIGKILL')
      throw new Error(`${folder} does not become ready:\n${log.slice(0, 2_000)}`)
    }
    await sleep(25)
  }
  return {
    url,
    log: () => log,
    end: async () => {
      child.kill('SIGTERM')
      const limit = setTimeout(() => child.kill('SIGKILL'), 30_000)
      return ended.finally(() => clearTimeout(limit))
    },
  }
}

/** Whether V8 takes the cache for the code beside it, asked in a process of its own as `main.js` would. */
const cacheCheck = `
const { readFileSync } = require('node:fs')
const source = \`(function (exports, require, module, __filename, __dirname) {\${readFileSync('dist/function.js', 'latin1')}\\n})\`
const script = new (require('node:vm').Script)(source, { filename: 'elsewhere.js', cachedData: readFileSync(process.argv[1]) })
console.log(script.cachedDataRejected === false ? 'taken' : 'rejected')
`

test('bundles – nothing of the repository is reachable from where they are tried', (t) => {
  for (let folder = outside; dirname(folder) !== folder; folder = dirname(folder)) {
    t.false(existsSync(join(folder, 'node_modules')), folder)
  }
})

for (const target of all.filter(({ kind }) => kind !== 'engine')) {
  test.serial(`${target.name} – its bundle starts alone, answers, drains and ends with 0`, async (t) => {
    const folder = await builtOutside(target)
    // What the runtime would merge into its options must stay without effect.
    await writeFile(join(folder, 'func.yaml'), 'port: 1\nlogLevel: trace\n')
    const running = await start(folder)
    const description = (await (await fetch(`${running.url}/openapi.json`)).json()) as { paths: object }
    t.true(Object.keys(description.paths).length > 0)
    const refused = await fetch(running.url, { method: 'POST', body: '{}' })
    t.true(refused.status >= 400 && refused.status < 500, String(refused.status))
    t.is(refused.headers.get('content-type'), 'application/problem+json')
    t.deepEqual(await running.end(), { code: 0, signal: null }, running.log())

    const [cache] = (await readdir(join(folder, 'dist'))).filter((name) => name.endsWith('.cache'))
    const { stdout } = await promisify(execFile)(process.execPath, ['--eval', cacheCheck, join('dist', cache!)], {
      cwd: folder,
    })
    t.is(stdout.trim(), 'taken')
  })
}

test.serial('a bundle – starts without its compile cache, and with a broken one', async (t) => {
  const folder = await builtOutside(all.find(({ name }) => name === 'order')!)
  const cache = join(folder, 'dist', `function-${process.version}-${process.arch}.cache`)
  await writeFile(cache, 'not a cache')
  t.is((await (await start(folder)).end()).code, 0)
  await rm(cache)
  t.is((await (await start(folder)).end()).code, 0)
})

test.serial('a bundle – is not written again when its sources are the same', async (t) => {
  const inventory = all.find(({ name }) => name === 'inventory')!
  const target = { ...inventory, folder: await builtOutside(inventory) }
  t.false((await buildTarget(target, root)).changed)
  await writeFile(join(target.folder, 'dist', 'function.js'), '// somebody was here')
  t.true((await buildTarget(target, root, { compile: false })).changed)
})

test.serial('the engine – its bundle starts alone with a folder of manifests, and ends with 0', async (t) => {
  const engine = all.find(({ kind }) => kind === 'engine')!
  const folder = await builtOutside(engine)
  const manifests = join(folder, 'manifests')
  await mkdir(manifests)
  const running = await start(folder, { MANIFESTS: manifests })
  t.is((await fetch(`${running.url}/metrics`)).status, 200)
  t.deepEqual(await running.end(), { code: 0, signal: null }, running.log())
})
