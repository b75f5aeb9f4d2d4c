// @ts-check
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { commands, listOfCommands } from './commands.mjs'
import { ensureDependencies } from './dependencies.mjs'
import { findNode, leastNode } from './node.mjs'

/** Warnings of Node that say nothing about this code. */
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--disable-warning=TimeoutNegativeWarning']

/**
 * @param {{ root: string, arguments: string[] }} options
 */
export async function main({ root, arguments: [command, ...rest] }) {
  if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
    console.log(listOfCommands())
    return
  }
  const script = join(root, 'scripts', `${command}.ts`)
  if (!Object.hasOwn(commands, command) || !existsSync(script)) {
    console.error(`There is no command "${command}".\n\n${listOfCommands()}`)
    process.exitCode = 2
    return
  }
  // Standard output belongs to the command: its last line may be JSON that a program reads.
  const say = (/** @type {string} */ line) => console.error(line)
  try {
    await ensureDependencies({ root, say })
    let node = findNode(root)
    if (!node && process.platform === 'linux') {
      // Optional packages are skipped silently when their download fails.
      await ensureDependencies({ root, say, force: true })
      node = findNode(root)
    }
    if (!node) {
      throw new Error(
        `Node ${leastNode.join('.')} or later is needed, and none for ${process.platform} ${process.arch} came with the dependencies. Install it from https://nodejs.org and run the same command again.`,
      )
    }
    run(node, root, script, rest)
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}

/**
 * Runs the command in the foreground; signals, exit code and end by a signal pass through.
 * @param {string} node
 * @param {string} root
 * @param {string} script
 * @param {string[]} rest
 */
function run(node, root, script, rest) {
  const path = [dirname(node), join(root, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter)
  const child = spawn(node, [...nodeFlags, script, ...rest], { stdio: 'inherit', env: { ...process.env, PATH: path } })
  // At a terminal Ctrl-C reaches the whole group, the command included; sent again it would look like a second, impatient one.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY
  process.on('SIGINT', () => {
    if (!atTerminal) child.kill('SIGINT')
  })
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => {
    console.error(`${node} could not be started: ${error.message}`)
    process.exitCode = 1
  })
  child.once('close', (code, signal) => {
    process.exitCode = signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1)
  })
}
