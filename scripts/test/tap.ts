/** Reads the test results that ava writes with `--tap`, line by line. */
export type TapEvent =
  | { kind: 'passed' | 'failed' | 'skipped'; title: string }
  /** Part of the details of the failure before it. */
  | { kind: 'detail'; line: string }
  | { kind: 'comment'; line: string }

/** Undefined for lines that say nothing to people: the version, the plan. */
export function readTapLine(line: string): TapEvent | undefined {
  const result = /^(ok|not ok)(?: \d+)?(?: -)? ?(.*)$/.exec(line)
  if (result) {
    const [, verdict, rest = ''] = result
    const directive = /^(.*?) # (SKIP|TODO)\b.*$/.exec(rest)
    if (directive) return { kind: 'skipped', title: directive[1] ?? rest }
    return { kind: verdict === 'ok' ? 'passed' : 'failed', title: rest }
  }
  if (/^TAP version|^1\.\.|^\s*$/.test(line)) return undefined
  if (/^# (tests|pass|skip|todo|fail) \d+$/.test(line)) return undefined
  if (line.startsWith('#')) return { kind: 'comment', line: line.slice(1).trim() }
  return { kind: 'detail', line }
}
