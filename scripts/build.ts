/** `npm run build`: makes the folders of functions self-contained, so that `func deploy` or a container build needs nothing else. */
import { join, relative } from 'node:path'
import { buildTarget } from './building/build-target.ts'
import { chooseTargets, findTargets } from './building/targets.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'

const root = join(import.meta.dirname, '..')
const all = findTargets(root)

const { positionals } = parseArguments({
  command: 'npm run build --',
  summary:
    'Bundles each function into its own folder: dist/ then holds all that it runs, and a compile cache for its cold start.',
  flags: {},
  positionals: '[name …]',
  notes: [
    `Names: ${all.map(({ name }) => name).join(', ')}. Without a name all of them.`,
    'Then: func deploy --path functions/<name>, or scripts/deploy services. The whole collection as one function is dist/stampede.',
  ],
})

/** Bundling takes all cores, compiling mostly waits: one of each at a time. */
const atOnce = 2

await runCommand(async ({ say }) => {
  const waiting = chooseTargets(all, positionals)
  const work = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      const { bytes, changed } = await buildTarget(target, root)
      const folder = relative(root, join(target.folder, 'dist'))
      say(`${target.name.padEnd(15)} ${folder}/ ${(bytes / 1_048_576).toFixed(1)} MiB${changed ? '' : ', as it was'}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return 0
})
