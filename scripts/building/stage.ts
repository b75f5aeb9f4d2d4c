/** A copy of a function's folder with only what belongs into its image, and a tag that says what that is. */
import { createHash } from 'node:crypto'
import { cpSync, existsSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../../', import.meta.url))
/** What the image of a built folder holds. */
const builtFiles = ['package.json', 'func.yaml', 'dist']
const tagLength = 16

type PackageFile = { dependencies?: Record<string, string>; bin?: string | Record<string, string> }

/** Copies into `target`. @throws Error with the next step when the folder is not built. */
export async function stage(folder: string, target: string): Promise<void> {
  const packageFile = JSON.parse(
    await readFile(join(folder, 'package.json'), 'utf8').catch(() => {
      throw new Error(`${folder} has no package.json: it is not the folder of a function.`)
    }),
  ) as PackageFile
  await mkdir(target, { recursive: true })
  const dependencies = Object.keys(packageFile.dependencies ?? {})
  if (dependencies.length > 0) {
    // Not bundled (the hello function): its own files, and its packages as they are installed here.
    for (const entry of await readdir(folder)) {
      if (entry !== 'node_modules' && entry !== 'Containerfile') {
        await cp(join(folder, entry), join(target, entry), { recursive: true })
      }
    }
    await copyPackages(folder, dependencies, target)
    await linkPrograms(dependencies, target)
    return makeReadable(target)
  }
  if (!existsSync(join(folder, 'dist', 'main.js'))) {
    throw new Error(`${folder} is not built. Next: npm run build`)
  }
  for (const entry of builtFiles) {
    if (existsSync(join(folder, entry))) await cp(join(folder, entry), join(target, entry), { recursive: true })
  }
  await makeReadable(target)
}

/** Images keep modes and give the files to root: where the umask is 077, the function's own user could not read them. */
async function makeReadable(target: string): Promise<void> {
  await chmod(target, 0o755)
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    else if (entry.isFile()) await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755)
  }
}

/**
 * Changes when the content does. The compile cache does not count: it follows from the rest, and differs from machine to
 * machine.
 */
export async function contentTag(folder: string): Promise<string> {
  const hash = createHash('sha256')
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.cache'))
  const paths = files.map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
  for (const path of paths.toSorted()) {
    hash
      .update(`${path}\0`)
      .update(await readFile(join(folder, path)))
      .update('\0')
  }
  return hash.digest('hex').slice(0, tagLength)
}

/** The packages and what they need, each from where Node finds it, nested ones in their places. */
async function copyPackages(folder: string, names: readonly string[], target: string): Promise<void> {
  const copied = new Set<string>()
  const copy = async (name: string, from: string): Promise<void> => {
    const source = findPackage(name, from)
    if (source === undefined || copied.has(source)) return
    copied.add(source)
    const place = relative(repository, source)
    const nested = place.slice(place.indexOf('node_modules'))
    await mkdir(join(target, nested), { recursive: true })
    for (const entry of await readdir(source)) {
      // What is nested comes by itself, and only when it is needed. The synchronous copy is the faster one for thousands of files.
      if (entry !== 'node_modules') cpSync(join(source, entry), join(target, nested, entry), { recursive: true })
    }
    const file = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as PackageFile
    for (const dependency of Object.keys(file.dependencies ?? {})) await copy(dependency, source)
  }
  for (const name of names) {
    if (findPackage(name, folder) === undefined)
      throw new Error(`the package ${name} is not installed. Next: npm install`)
    await copy(name, folder)
  }
}

/** As npm does: the start script finds the programs of its packages in `node_modules/.bin`. */
async function linkPrograms(names: readonly string[], target: string): Promise<void> {
  const programs = join(target, 'node_modules', '.bin')
  await mkdir(programs, { recursive: true })
  for (const name of names) {
    const { bin = {} } = JSON.parse(
      await readFile(join(target, 'node_modules', name, 'package.json'), 'utf8'),
    ) as PackageFile
    const entries = typeof bin === 'string' ? { [name]: bin } : bin
    for (const [program, path] of Object.entries(entries)) {
      await symlink(join('..', name, path), join(programs, program))
    }
  }
}

function findPackage(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (dirname(folder) === folder) return undefined
  }
}
