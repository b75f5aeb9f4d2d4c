/** Checks that need no service: the same in `npm test` and `npm run lint`. */
import { join } from 'node:path'

export const root = join(import.meta.dirname, '..', '..')
const program = (name: string) => join(root, 'node_modules', '.bin', name)
const quietNode = ['--disable-warning=ExperimentalWarning']

export type CheckStep = {
  name: string
  command: string
  args: readonly string[]
  /** For people, when it fails. */
  remedy?: string
}

export const sourceGlobs = ['functions', 'eventing', 'lua', 'shared', 'scripts']

/** `generate --check` loads the functions, so it finds a defect of a declaration too. */
export const generatedStep: CheckStep = {
  name: 'generated files',
  command: process.execPath,
  args: [...quietNode, join(root, 'scripts', 'generate.ts'), '--check'],
  remedy: 'npm run generate',
}

export const staticSteps: readonly CheckStep[] = [
  { name: 'types', command: program('tsc'), args: ['--noEmit', '--pretty', 'false', '--project', root] },
  { name: 'lint', command: program('oxlint'), args: ['--type-aware', '--deny-warnings', ...sourceGlobs] },
  {
    name: 'format',
    command: program('prettier'),
    args: ['--check', '--log-level', 'warn', '.'],
    remedy: 'npm run format',
  },
]
