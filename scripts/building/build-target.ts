/** Makes the folder of a target self-contained: `dist/` with the bundle, its loader, and the compile cache of this Node. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bundle } from './bundle.ts'
import type { Target } from './targets.ts'

const run = promisify(execFile)
const compileTimeoutMs = 60_000
const loaderFolder = join(import.meta.dirname, 'loader')

export type Built = { target: Target; bytes: number; changed: boolean }

/**
 * Writes only what changed, so that the same sources give the same image. @throws Error when a source cannot be bundled, or
 * when the bundle does not start.
 */
export async function buildTarget(target: Target, root: string, options: { compile?: boolean } = {}): Promise<Built> {
  const dist = join(target.folder, 'dist')
  const files = new Map([
    // Node takes what is in here for CommonJS, whatever the folder around it says.
    ['package.json', '{ "type": "commonjs" }\n'],
    ['main.js', await readFile(join(loaderFolder, 'main.cjs'), 'utf8')],
    ['compile.js', await readFile(join(loaderFolder, 'compile.cjs'), 'utf8')],
    ['function.js', await bundle(target.entry)],
  ])
  if (target.kind === 'engine') files.delete('compile.js')
  if (target.kind === 'collection') await writeCollection(target.folder, root)
  const compiles = target.kind !== 'engine' && options.compile !== false
  const same = await Promise.all([...files].map(async ([name, text]) => (await textOf(join(dist, name))) === text))
  const cached = existsSync(join(dist, `function-${process.version}-${process.arch}.cache`))
  const changed = same.includes(false) || (compiles && !cached)
  if (changed) {
    // A cache of other code must not stay: V8 knows its code by version and length alone.
    await rm(dist, { recursive: true, force: true })
    await mkdir(dist, { recursive: true })
    for (const [name, text] of files) await writeFile(join(dist, name), text)
    if (compiles) await compile(target, dist)
  }
  return { target, bytes: files.get('function.js')!.length, changed }
}

async function compile({ name }: Target, dist: string): Promise<void> {
  try {
    // Nothing of this process' environment: its NODE_OPTIONS would change what V8 takes the cache for.
    await run(process.execPath, [join(dist, 'compile.js')], { cwd: dist, env: {}, timeout: compileTimeoutMs })
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string }
    throw new Error(`${name} was bundled but does not start:\n${(stderr + stdout).trim() || String(error)}`, {
      cause: error,
    })
  }
}

/** The collection's func.yaml is at the root, where a person looks for it; the rest of its folder is made. */
async function writeCollection(folder: string, root: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await copyFile(join(root, 'func.yaml'), join(folder, 'func.yaml'))
  const packageFile = {
    name: 'stampede',
    version: '0.1.0',
    private: true,
    description: 'Every function of Stampede in one process',
    type: 'module',
    scripts: { start: 'node dist/main.js', compile: 'node dist/compile.js' },
    engines: { node: '^24' },
  }
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(packageFile, undefined, 2)}\n`)
}

async function textOf(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined)
}
