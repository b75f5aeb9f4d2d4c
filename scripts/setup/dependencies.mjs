// @ts-check
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { takeLock } from './lock.mjs'

/**
 * @typedef {{ version?: string, resolved?: string, link?: boolean, optional?: boolean, devOptional?: boolean }} LockedPackage
 * @typedef {{ packages?: Record<string, LockedPackage> }} Lockfile
 */

/**
 * Compares what `package-lock.json` asks for with what npm noted in `node_modules/.package-lock.json` after its last complete
 * installation. Optional packages are for other machines, or could not be installed here, and do not count.
 * @param {Lockfile} wanted
 * @param {Lockfile | undefined} installed undefined: never finished
 * @returns {'complete' | 'missing' | 'stale'}
 */
export function stateOfDependencies(wanted, installed) {
  if (!installed?.packages) return 'missing'
  for (const [path, entry] of Object.entries(wanted.packages ?? {})) {
    // The other entries describe the workspace itself.
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) continue
    if (entry.optional || entry.devOptional) continue
    const present = installed.packages[path]
    if (!present) return 'stale'
    if (present.version !== entry.version || Boolean(present.link) !== Boolean(entry.link)) return 'stale'
  }
  return 'complete'
}

/**
 * @param {string} path
 * @returns {Lockfile | undefined}
 */
function readLockfile(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** @param {string} root */
export function dependenciesOf(root) {
  const wanted = readLockfile(join(root, 'package-lock.json'))
  if (!wanted)
    throw new Error('package-lock.json is missing or damaged; restore it with: git checkout package-lock.json')
  return stateOfDependencies(wanted, readLockfile(join(root, 'node_modules', '.package-lock.json')))
}

const lockLimitMs = 600_000
const progressMs = 5_000

/**
 * Installs the dependencies when they are missing or not those of `package-lock.json`.
 * @param {{ root: string, say: (line: string) => void, force?: boolean }} options
 */
export async function ensureDependencies({ root, say, force = false }) {
  if (!force && dependenciesOf(root) === 'complete') return
  const release = await takeLock(join(root, '.stampede', 'install.lock'), {
    limitMs: lockLimitMs,
    onWait: (pid) => say(`Another command (process ${pid}) is installing the dependencies; waiting for it.`),
  })
  try {
    // Whoever held the lock may have done the work.
    const state = dependenciesOf(root)
    if (!force && state === 'complete') return
    say(
      state === 'missing'
        ? 'Installing the dependencies with npm.'
        : 'The dependencies have changed; installing them again with npm.',
    )
    const beganMs = Date.now()
    await npmCi(root, say)
    say(`Dependencies are installed (${seconds(beganMs)}).`)
  } finally {
    release()
  }
}

/**
 * @param {string} root
 * @param {(line: string) => void} say
 * @returns {Promise<void>}
 */
function npmCi(root, say) {
  // The npm that runs this, when there is one: the one on the PATH may belong to another Node.
  const cli = process.env['npm_execpath']
  const useCli = cli !== undefined && /npm-cli\.c?js$/.test(cli) && existsSync(cli)
  const [command, first] = useCli ? [process.execPath, [cli]] : ['npm', []]
  const beganMs = Date.now()
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Without the variables of the npm that runs us, its own flags would be taken for flags of this one.
      env: Object.fromEntries(
        Object.entries(process.env).filter(
          ([name]) => !/^npm_(command|lifecycle_|package_|config_(silent|loglevel|json|yes))/i.test(name),
        ),
      ),
    })
    let output = ''
    const keep = (/** @type {Buffer} */ chunk) => {
      // The cause stands at the beginning of what npm says.
      if (output.length < 8_000) output += chunk.toString()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const timer = setInterval(() => say(`  still installing, ${seconds(beganMs)} …`), progressMs)
    child.once('error', (error) => {
      clearInterval(timer)
      reject(new Error(`npm could not be started: ${error.message}. Is npm installed?`))
    })
    child.once('close', (code, signal) => {
      clearInterval(timer)
      if (code === 0) resolve()
      else
        reject(
          new Error(
            `npm ci ended with ${signal ?? `code ${code}`}:\n${withoutUsage(output)}\n\nRun the same command again: it begins where this one stopped.`,
          ),
        )
    })
  })
}

/**
 * npm explains all of its options when it refuses.
 * @param {string} output
 */
function withoutUsage(output) {
  return (output.split('npm error Clean install a project')[0] ?? '').replaceAll(/^npm error ?$/gm, '').trim()
}

/** @param {number} beganMs */
function seconds(beganMs) {
  return `${((Date.now() - beganMs) / 1000).toFixed(1)} s`
}
