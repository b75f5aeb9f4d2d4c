export type TestCounts = { passed: number; failed: number; skipped: number }

/** What each line of the summary counts as. */
const meanings: readonly { line: RegExp; counts: keyof TestCounts }[] = [
  { line: /^(\d+) tests? passed$/, counts: 'passed' },
  { line: /^(\d+) (?:tests?|hooks?) failed$/, counts: 'failed' },
  { line: /^(\d+) known failures?$/, counts: 'failed' },
  { line: /^(\d+) (?:unhandled rejections?|uncaught exceptions?)$/, counts: 'failed' },
  { line: /^(\d+) tests? remained pending after a timeout$/, counts: 'failed' },
  { line: /^(\d+) tests? (?:skipped|todo)$/, counts: 'skipped' },
]

/** What ava prints before its summary. */
const ruler = '\n  ─\n'

/** False when ava ended before all tests had: killed, or crashed. */
export const hasSummary = (output: string): boolean => output.includes(ruler)

/**
 * Counts from the summary that ava prints last, below a line of its own. A run that failed without a failed test (a file that
 * cannot be loaded, a process that was ended) counts as one failure, and so does a run without any test. When something failed ava
 * does not say how many tests passed: then their lines are counted.
 */
export function countsOf(output: string, exitCode: number | null): TestCounts {
  const counts: TestCounts = { passed: 0, failed: 0, skipped: 0 }
  const end = hasSummary(output) ? output.lastIndexOf(ruler) : output.length
  const summary = output.slice(end)
  for (const line of summary.split('\n')) {
    for (const meaning of meanings) {
      const match = meaning.line.exec(line.trim())
      if (match) counts[meaning.counts] += Number(match[1])
    }
  }
  if (counts.passed === 0) counts.passed = output.slice(0, end).match(/^ {2}✔ /gm)?.length ?? 0
  if (counts.failed === 0 && (exitCode !== 0 || counts.passed === 0)) counts.failed = 1
  return counts
}
