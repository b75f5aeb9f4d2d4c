/** `npm run configuration`: checks documents before they are applied, and shows what they come to. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { parseDocument } from '@stampede/shared/configuration/parse-document.ts'
import { describeProblem } from '@stampede/shared/configuration/types.ts'
import { deployedDocuments, nameOf, type DocumentFile } from './configuration/deployed.ts'
import { documentSchemas } from './configuration/documents.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'

const root = join(import.meta.dirname, '..')
const names = Object.keys(documentSchemas)

const options = parseArguments({
  command: 'npm run configuration --',
  summary: 'Checks configuration documents, or shows one with everything that it does not say itself.',
  positionals: 'check|show [file …]',
  flags: {
    as: { type: 'string', choices: names, help: 'which document it is; default: by the name of the file' },
  },
  notes: [
    `Documents: ${names.join(', ')}. Without a file: those that are deployed from this repository.`,
    'What environment variables of an installation say is not known here: "show" takes their defaults.',
    'Exit code 1: a document is not valid.',
  ],
})

async function check({ name, path }: DocumentFile, say: (line: string) => void, show: boolean): Promise<boolean> {
  const schema = documentSchemas[name]
  if (!schema) {
    say(`✘ ${path}: there is no document "${name}"; there are ${names.join(', ')} (--as says which one it is)`)
    return false
  }
  const text = await readFile(path, 'utf8').catch((error: unknown) => error as NodeJS.ErrnoException)
  if (typeof text !== 'string') {
    say(`✘ ${path}: it cannot be read (${text.code ?? text.message})`)
    return false
  }
  const parsed = parseDocument(text, schema)
  if ('problems' in parsed) {
    say(`✘ ${path} (${name}, version ${parsed.version ?? 'none'})`)
    for (const problem of parsed.problems) say(`    ${describeProblem(problem)}`)
    return false
  }
  if (show) process.stdout.write(stringify({ version: parsed.version, ...(parsed.value as object) }, { lineWidth: 0 }))
  else say(`✔ ${path} (${name}, version ${parsed.version})`)
  return true
}

await runCommand(async ({ say }) => {
  const [action = '', ...files] = options.positionals
  if (action !== 'check' && action !== 'show') {
    say('What is to be done: check or show? (--help)')
    return 2
  }
  const chosen =
    files.length > 0
      ? files.map((path) => ({ name: options.as ?? nameOf(path), path }))
      : (await deployedDocuments(root)).map(({ name, path }) => ({ name, path: join(root, path) }))
  let valid = true
  for (const file of chosen) valid = (await check(file, say, action === 'show')) && valid
  return valid ? 0 : 1
})
