/** `npm run generate`: writes what follows from the sources: scripts, migrations, manifests, schemas and documents of the events. */
import { join } from 'node:path'
import { staleFiles, writeGenerated, type GeneratedFile, type Staleness } from './generate/files.ts'
import { generateMigrations } from './generate/migrations.ts'
import { parseArguments } from './lib/arguments.ts'

const root = join(import.meta.dirname, '..')
const options = parseArguments({
  command: 'npm run generate',
  summary: 'Writes the generated files again: Lua scripts, migrations, manifests, schemas and documents of the events.',
  flags: { check: { type: 'boolean', help: 'write nothing; exit 1 and list the files that are not up to date' } },
})

/** The functions are loaded after these: they import them. */
async function basics(): Promise<GeneratedFile[]> {
  const { generate } = await import('../lua/generate.ts')
  return [...(await generate()), ...(await generateMigrations(root))]
}

async function events(): Promise<GeneratedFile[]> {
  const [{ generate }, { functions }] = await Promise.all([
    import('../eventing/generate.ts'),
    import('../functions/index.ts'),
  ])
  return generate(functions)
}

/** The addresses that the gateway knows. */
async function addresses(): Promise<GeneratedFile[]> {
  const [{ generateGatewayRoutes }, { functions }] = await Promise.all([
    import('./generate/gateway-routes.ts'),
    import('../functions/index.ts'),
  ])
  return generateGatewayRoutes(functions)
}

/** These follow from the manifests of the events, which are written by then, and from func.yaml files. */
async function cluster(): Promise<GeneratedFile[]> {
  const [{ generateKnative }, { everyFunction }] = await Promise.all([
    import('./generate/knative/generate.ts'),
    import('../functions/index.ts'),
  ])
  return generateKnative(root, everyFunction)
}

/** What kustomize makes of all these. Without kubectl the files stay as they are, and whether they are old shows in their first line. */
async function rendered(): Promise<GeneratedFile[]> {
  const { renderOverlays, staleRenderings } = await import('./generate/knative/render.ts')
  const files = await renderOverlays(root)
  if (files) return files
  for (const path of await staleRenderings(root))
    console.log(`old: ${path} (there is no kubectl here, so it cannot be rendered again)`)
  return []
}

let count = 0
const stale: Staleness[] = []
for (const generator of [basics, events, addresses, cluster, rendered]) {
  const files = await generator()
  count += files.length
  const found = await staleFiles(root, files)
  if (!options.check) await writeGenerated(root, found)
  stale.push(found)
}

const changed = stale.flatMap((found) => found.changed.map(({ path }) => path))
const orphans = stale.flatMap((found) => found.orphans)
for (const path of changed) console.log(`${options.check ? 'stale' : 'written'}: ${path}`)
for (const path of orphans) console.log(`${options.check ? 'no longer generated' : 'deleted'}: ${path}`)
const differences = changed.length + orphans.length
if (differences === 0) console.log(`${count} generated files are up to date.`)
else if (options.check) console.log(`\n${differences} generated files are not up to date. Run: npm run generate`)
// Modules of the functions may hold timers.
process.exit(options.check && differences > 0 ? 1 : 0)
