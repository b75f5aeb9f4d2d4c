/**
 * One JavaScript file of everything a process runs: its own sources, `shared/`, the Lua scripts and migrations (modules, made by
 * `npm run generate`) and all packages. CommonJS, because V8's code cache can be handed to a script and not to a module
 * of Node; names are kept and lines short, so that a stack trace says where something happened without a source map.
 */
import { readFile } from 'node:fs/promises'
import { build, type Plugin } from 'esbuild'

/** The text of the bundle; ASCII only, so that the loader can read it as one byte a character. @throws what esbuild throws. */
export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    lineLimit: 160,
    legalComments: 'none',
    charset: 'ascii',
    logLevel: 'silent',
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
    plugins: [awaitlessEntry(entry), declaredGlobals],
  })
  const text = outputFiles[0]!.text
  // oxlint-disable-next-line no-control-regex -- all of ASCII is asked for, control characters too
  if (!/^[\0-\x7f]*$/.test(text)) throw new Error(`the bundle of ${entry} is not ASCII`)
  return text
}

/** A script cannot wait at its top level: what an entry does after its imports moves into a function. */
const awaitlessEntry = (entry: string): Plugin => ({
  name: 'awaitless-entry',
  setup(build) {
    build.onLoad({ filter: /main\.ts$/ }, async ({ path }) => {
      if (path !== entry) return undefined
      return { contents: withoutTopLevelAwait(await readFile(path, 'utf8')), loader: 'ts' }
    })
  },
})

const leadingImports = /^(?:\s*\/\*\*[\s\S]*?\*\/)?(?:\s*import\s[^'"]*['"][^'"]+['"];?[ \t]*\n)+/

/** Sources of an entry: imports first, then statements, no exports. A rejection ends the process, as it would have. */
export function withoutTopLevelAwait(source: string): string {
  const [imports = ''] = leadingImports.exec(source) ?? []
  const rest = source.slice(imports.length)
  if (imports === '' || /^(?:import|export)\s/m.test(rest)) {
    throw new Error('the module that starts a bundle has imports at its beginning only, and no exports')
  }
  return `${imports}void (async () => {\n${rest}\n})()\n`
}

/**
 * faas-js-runtime 4.0.1 assigns to a variable that it has not declared, which strict code (and a bundle is) refuses. Another
 * version has to be looked at: then this fails.
 */
const declaredGlobals: Plugin = {
  name: 'declared-globals',
  setup(build) {
    build.onLoad({ filter: /faas-js-runtime[\\/]lib[\\/]metrics\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      const wrong = '{ cpu, mem, netstat } = osu = require('
      if (!source.includes(wrong)) throw new Error(`${path} has changed: see scripts/building/bundle.ts`)
      return { contents: `let osu;${source}`, loader: 'js' }
    })
  },
}
