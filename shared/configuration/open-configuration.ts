/**
 * A versioned document that applies while the process runs: read from a file, checked as a whole, taken over by everyone who
 * listens or by nobody, read again when it changes. What is not valid is refused, and the document before it stays.
 *
 *   const settings = openConfiguration({ name: 'seckill', schema, initial, file: documentFile(folder, 'seckill'), log, metrics })
 *   settings.onChange((next) => limiter.setRate(next.rate))
 *   settings.current().rate
 */
import { readFileSync } from 'node:fs'
import { createListeners } from './listeners.ts'
import { configurationMeasures } from './measures.ts'
import { deepFreeze, parseDocument } from './parse-document.ts'
import { contentOf, failedContent, readDocument, watchFolderOf, type FileContent } from './read-file.ts'
import {
  describeProblem,
  DocumentError,
  type Configuration,
  type ConfigurationOptions,
  type DocumentProblem,
} from './types.ts'

/** The version of `initial`. */
export const builtInVersion = 'built-in'

/** A file that does not hold still is looked at again with the next poll. */
const maximumSettling = 100

type Applied<T> = { value: T; version: string; key: string; digest: string }

/**
 * @throws DocumentError with all problems when there is no valid document and no `initial`.
 */
export function openConfiguration<T>(options: ConfigurationOptions<T>): Configuration<T> {
  const { name, schema, file, log, pollMs = 1_000, settleMs = 50, prepareTimeoutMs = 10_000 } = options
  const measures = configurationMeasures(options.metrics, name)
  const listeners = createListeners<T>()
  const initial: Applied<T> | undefined =
    'initial' in options
      ? { value: deepFreeze(options.initial as T), version: builtInVersion, key: 'absent', digest: '' }
      : undefined

  /** What was decided last, so that each content is decided and told once. */
  let decidedKey = 'absent'
  let rejected = false
  const closing = new AbortController()

  const reject = (
    problems: readonly DocumentProblem[],
    version: string | undefined,
    outcome: 'rejected' | 'rolled-back',
  ) => {
    rejected = true
    measures.rejected(true)
    measures.loaded(outcome)
    log.error(
      { configuration: name, version, applies: applied.version, problems: problems.map(describeProblem) },
      outcome === 'rejected'
        ? 'the configuration is refused; the one before it stays'
        : 'the configuration could not be applied; the one before it is back',
    )
  }
  const take = (next: Applied<T>) => {
    applied = next
    rejected = false
    measures.rejected(false)
    measures.applied(next.version, next.digest, Date.now())
  }

  function valueOf(content: FileContent): Applied<T> | { version: string | undefined; problems: DocumentProblem[] } {
    if (content.kind === 'absent')
      return { version: undefined, problems: [{ pointer: '', detail: 'the file is not there' }] }
    if (content.kind === 'unreadable')
      return { version: undefined, problems: [{ pointer: '', detail: content.reason }] }
    const parsed = parseDocument(content.text, schema)
    return 'problems' in parsed ? parsed : { ...parsed, key: content.key, digest: content.digest }
  }

  // At the start there is nobody to keep waiting, and nobody who listens yet.
  const first: FileContent = file === undefined ? { kind: 'absent', key: 'absent' } : readNow(file)
  const read = valueOf(first)
  const start = 'value' in read ? read : initial
  if (!start) {
    measures.close()
    throw new DocumentError(
      `The configuration "${name}" (${file ?? 'no file'})`,
      'problems' in read ? read.problems : [],
    )
  }
  let applied = start
  decidedKey = first.key
  measures.applied(start.version, start.digest, Date.now())
  // No file is the ordinary case of a small installation; a wrong one is not.
  if ('problems' in read && first.kind !== 'absent') reject(read.problems, read.version, 'rejected')
  else log.info({ configuration: name, version: start.version, digest: start.digest }, 'a configuration applies')

  const decide = async (content: FileContent): Promise<void> => {
    decidedKey = content.key
    if (content.key === applied.key) {
      // What was refused is gone, and what applies is there again.
      if (rejected) take(applied)
      return
    }
    const next = valueOf(content)
    if ('problems' in next) return reject(next.problems, next.version, 'rejected')
    const previous = applied
    try {
      await listeners.prepare(next.value, previous.value, prepareTimeoutMs)
    } catch (error) {
      return reject([{ pointer: '', detail: `refused: ${messageOf(error)}` }], next.version, 'rejected')
    }
    if (closing.signal.aborted) return
    applied = next
    try {
      listeners.apply(next.value, previous.value, (error) => {
        log.error({ err: error, configuration: name }, 'a listener did not take the old configuration back')
      })
    } catch (error) {
      applied = previous
      return reject([{ pointer: '', detail: `failed: ${messageOf(error)}` }], next.version, 'rolled-back')
    }
    take(next)
    measures.loaded('applied')
    log.info(
      { configuration: name, version: next.version, digest: next.digest, before: previous.version },
      'a new configuration applies',
    )
  }

  /** Reads until two readings are the same: a document that is being written is not a document yet. */
  const look = async (path: string): Promise<void> => {
    let content = await readDocument(path)
    for (let reading = 0; reading < maximumSettling && !closing.signal.aborted; reading++) {
      if (content.key === decidedKey) return
      await pause(settleMs)
      const again = await readDocument(path)
      if (again.key === content.key) return closing.signal.aborted ? undefined : decide(again)
      content = again
    }
  }

  // One look at a time; what happens meanwhile is looked at after it.
  let looking: Promise<void> | undefined
  let lookAgain = false
  const check = (): Promise<void> => {
    lookAgain = true
    looking ??= (async () => {
      while (lookAgain && !closing.signal.aborted) {
        lookAgain = false
        if (file !== undefined) await look(file)
      }
    })()
      .catch((error: unknown) =>
        log.error({ err: error, configuration: name }, 'the configuration could not be checked'),
      )
      .finally(() => {
        looking = undefined
      })
    return looking
  }

  const changed = () => void check()
  const watching = file !== undefined && options.watch !== false ? watchFolderOf(file, changed) : undefined
  const poll = () => {
    void watching?.renew()
    changed()
  }
  const timer = file === undefined ? undefined : setInterval(poll, pollMs).unref()
  if (timer) poll()

  return {
    current: () => applied.value,
    version: () => applied.version,
    onChange: (listener) => listeners.add(listener),
    reload: async ({ again = false } = {}) => {
      await looking
      if (again && rejected) decidedKey = ''
      await check()
    },
    close() {
      closing.abort()
      clearInterval(timer)
      watching?.close()
      measures.close()
    },
  }
}

function readNow(file: string): FileContent {
  try {
    return contentOf(readFileSync(file))
  } catch (error) {
    return failedContent(error)
  }
}

const pause = (durationMs: number) => new Promise<void>((resolve) => void setTimeout(resolve, durationMs))

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'it threw something')
