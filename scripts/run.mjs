// Every command starts here: `npm start`, `npm test`, … call `node scripts/run.mjs <command> [arguments]`.
// Plain JavaScript without dependencies, because it runs on a machine where nothing is installed yet. It installs the
// dependencies when they are missing, finds Node 24, and runs `scripts/<command>.ts` with it.
import { fileURLToPath } from 'node:url'
import { dirname, join } from 'node:path'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const oldest = 20

if (Number(process.versions.node.split('.')[0]) < oldest) {
  console.error(`Stampede needs Node ${oldest} or later to begin with; this is Node ${process.versions.node}.`)
  console.error(
    'Install a newer one from https://nodejs.org or with your package manager, then run the same command again.',
  )
  process.exitCode = 1
} else {
  const { main } = await import('./setup/main.mjs')
  await main({ root, arguments: process.argv.slice(2) })
}
