import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Say } from '../lib/terminal.ts'
import { run } from '../services/local/run.ts'
import { root, sourceGlobs } from './check-steps.ts'

export type Coverage = { environment: Record<string, string>; report(): Promise<void>; remove(): Promise<void> }

const limitMs = 180_000

/** Node itself notes what was run, in every thread and child process; c8 only makes the report, so the tests run unchanged. */
export async function startCoverage(say: Say): Promise<Coverage> {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-coverage-'))
  return {
    environment: { NODE_V8_COVERAGE: folder },
    report: async () => {
      const include = sourceGlobs.flatMap((glob) => ['--include', `${glob}/**/*.ts`])
      const exclude = ['**/*.test.ts', '**/generated/**'].flatMap((glob) => ['--exclude', glob])
      const { code, output } = await run(
        process.execPath,
        [join(root, 'node_modules', 'c8', 'bin', 'c8.js'), 'report', '--all', '--temp-directory', folder]
          .concat(['--reports-dir', join(root, 'coverage'), '--reporter', 'text-summary', '--reporter', 'lcovonly'])
          .concat(include, exclude),
        { cwd: root, limitMs },
      )
      say(
        code === 0 ? `${output.trim()}\nDetails: coverage/lcov.info` : `The coverage report failed:\n${output.trim()}`,
      )
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
