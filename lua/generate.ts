/**
 * Makes `lua/generated/scripts.ts` of the scripts: bundles cannot read files beside them, so the text travels in a module.
 * `-- @include name` is replaced by `lua/includes/name.lua`; comments are left out, because every new connection to a fresh
 * Redis sends the text.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename } from 'node:path'

export type ScriptSource = {
  /** The file's name without `.lua`. */
  name: string
  /** What the header says. */
  numberOfKeys: number
  numberOfArguments: number
  /** The whole file with its includes and comments. */
  text: string
  /** What Redis gets. */
  code: string
}

const directory = new URL('./', import.meta.url)

/** All scripts by name. Throws when a header does not say how many keys and arguments there are. */
export async function readScripts(): Promise<ScriptSource[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.lua')).sort()
  return await Promise.all(files.map(readScript))
}

async function readScript(file: string): Promise<ScriptSource> {
  const source = await readFile(new URL(file, directory), 'utf8')
  const text = await include(source)
  const code = text
    .split('\n')
    .map((line) => line.replace(/(^|\s+)-- .*$/, '').trimEnd())
    .filter((line) => line !== '' && line !== '--')
    .join('\n')
  const name = basename(file, '.lua')
  return {
    name,
    numberOfKeys: headerCount(source, 'KEYS', name),
    numberOfArguments: headerCount(source, 'ARGV', name),
    text,
    code,
  }
}

async function include(source: string): Promise<string> {
  const parts = await Promise.all(
    source.split('\n').map(async (line) => {
      const name = /^-- @include ([a-z-]+)$/.exec(line)?.[1]
      return name === undefined ? line : await readFile(new URL(`includes/${name}.lua`, directory), 'utf8')
    }),
  )
  return parts.join('\n')
}

function headerCount(source: string, section: 'KEYS' | 'ARGV', name: string): number {
  const count = new RegExp(`^-- ${section} \\((\\d+)\\)$`, 'm').exec(source)?.[1]
  if (count === undefined) throw new Error(`lua/${name}.lua: the header has no line "-- ${section} (count)"`)
  return Number(count)
}

const camelCase = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
const literal = (text: string) => '`' + text.replace(/[\\`]|\$\{/g, '\\$&') + '`'

export async function generate(): Promise<{ path: string; content: string }[]> {
  const scripts = await readScripts()
  const modules = scripts.map(
    (script) => `export const ${camelCase(script.name)}: Script = {
  name: '${script.name}',
  numberOfKeys: ${script.numberOfKeys},
  numberOfArguments: ${script.numberOfArguments},
  sha1: '${createHash('sha1').update(script.code).digest('hex')}',
  code: ${literal(script.code)},
}
`,
  )
  const content = `/** Generated from lua/*.lua by lua/generate.ts. Do not edit. */

export type Script = {
  name: string
  numberOfKeys: number
  numberOfArguments: number
  /** Of \`code\`, as EVALSHA wants it. */
  sha1: string
  code: string
}

${modules.join('\n')}`
  return [{ path: 'lua/generated/scripts.ts', content }]
}
