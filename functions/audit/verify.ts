/**
 * Reads a chain from its beginning, or from a record that was verified before, and says where it is broken first. Memory is that of
 * one page, however long the chain is.
 */
import { beginning, hashOf } from './chain.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Checkpoint, Head, Macs } from './macs.ts'
import type { StoredRecord } from './store.ts'

export const findingKinds = [
  /** What the record says is not what its hash was made of. */
  'changed',
  /** The record does not follow the one before it. */
  'out-of-order',
  /** A number in between is not there. */
  'missing',
  /** There are fewer records than there have been. */
  'truncated',
  /** There are records behind the end of the chain. */
  'inserted',
  /** The chain has records and no end. */
  'end-missing',
  /** The end, or a checkpoint, was not signed by this platform. */
  'forged',
  /** The chain is another one than it was at a checkpoint: it was written again from some record on. */
  'rewritten',
  /** Signed with a key that was not given. */
  'unknown-key',
] as const
export type FindingKind = (typeof findingKinds)[number]

/** `recordId` is null where no record is there to be named. */
export type Finding = { kind: FindingKind; sequence: number; recordId: string | null; detail: string }

export type Verification = {
  tenantId: string
  ok: boolean
  /** Records that were read and found right. */
  checked: number
  /** Checkpoints, stored ones and those from outside, that the chain agrees with. */
  checkpoints: number
  /** The last record that was found right; a call with `fromSequence` one more goes on. */
  throughSequence: number
  /** False when the limit of the call came first. */
  complete: boolean
  finding: Finding | null
}

/** Where a chain is read from. */
export type ChainSource = {
  tenantId: string
  head(): Promise<Head | undefined>
  records(after: number, limit: number): Promise<StoredRecord[]>
  lastSequence(): Promise<number>
  checkpoints(least: number, most: number): Promise<Checkpoint[]>
}

export type VerifyOptions = {
  /** The record before it is taken as right. Default 1. */
  fromSequence?: number
  /** Default: all. */
  maximumRecords?: number
  /** Checkpoints of this tenant that were kept outside of the database. */
  outside?: readonly Checkpoint[]
  pageSize?: number
}

type State = { sequence: number; hash: string; checked: number; checkpoints: number }

export async function verifyChain(source: ChainSource, macs: Macs, options: VerifyOptions = {}): Promise<Verification> {
  const { fromSequence = 1, maximumRecords = Number.POSITIVE_INFINITY, outside = [], pageSize = 1_000 } = options
  const state: State = { ...beginning, checked: 0, checkpoints: 0 }
  const result = (finding: Finding | null, complete = true): Verification => ({
    tenantId: source.tenantId,
    ok: finding === null,
    checked: state.checked,
    checkpoints: state.checkpoints,
    throughSequence: state.sequence,
    complete,
    finding,
  })
  const head = await source.head()
  if (!head) return result(await withoutHead(source, outside))
  const headFinding = signatureFinding(macs.checkHead(head), head, 'the end of the chain')
  if (headFinding) return result(headFinding)

  if (fromSequence > 1) {
    const [before] = await source.records(fromSequence - 2, 1)
    if (before?.sequence !== fromSequence - 1) return result(missing(fromSequence - 1, before))
    state.sequence = before.sequence
    state.hash = before.hash
  }
  while (state.sequence < head.sequence) {
    if (state.checked >= maximumRecords) return result(null, false)
    const limit = Math.min(pageSize, head.sequence - state.sequence, maximumRecords - state.checked)
    const page = await source.records(state.sequence, limit)
    const last = page.at(-1)
    if (!last) return result(truncated(state.sequence + 1, `the end of the chain is record ${head.sequence}`))
    const stored = await source.checkpoints(state.sequence + 1, last.sequence)
    const finding = checkPage(state, page, [...stored, ...outside], macs)
    if (finding) return result(finding)
  }
  if (state.sequence === head.sequence && state.hash !== head.hash)
    return result(rewritten(head.sequence, null, 'the end of the chain'))
  const later = [...(await source.checkpoints(head.sequence + 1, Number.MAX_SAFE_INTEGER)), ...outside]
  const beyond = await beyondHead(source, head, later)
  return result(beyond)
}

async function withoutHead(source: ChainSource, outside: readonly Checkpoint[]): Promise<Finding | null> {
  const last = await source.lastSequence()
  if (last > 0) {
    return { kind: 'end-missing', sequence: last, recordId: null, detail: 'the chain has records and no end' }
  }
  const [first] = [...(await source.checkpoints(1, Number.MAX_SAFE_INTEGER)), ...outside]
  return first ? truncated(1, `there was a record ${first.sequence} at ${first.at}, and nothing is left`) : null
}

function checkPage(
  state: State,
  page: readonly StoredRecord[],
  checkpoints: readonly Checkpoint[],
  macs: Macs,
): Finding | undefined {
  const bySequence = Map.groupBy(checkpoints, ({ sequence }) => sequence)
  for (const record of page) {
    const { sequence, recordId } = record
    if (sequence !== state.sequence + 1) return missing(state.sequence + 1, record)
    if (record.previousHash !== state.hash) {
      return {
        kind: 'out-of-order',
        sequence,
        recordId,
        detail: `record ${sequence} does not follow the one before it`,
      }
    }
    const { detailsText, hash, ...content } = record
    if (canonicalJson(record.details) !== detailsText || hashOf(content) !== hash)
      return { kind: 'changed', sequence, recordId, detail: `record ${sequence} is not what was recorded` }
    for (const checkpoint of bySequence.get(sequence) ?? []) {
      const forged = signatureFinding(
        macs.checkCheckpoint(checkpoint),
        checkpoint,
        `the checkpoint of ${checkpoint.at}`,
      )
      if (forged) return forged
      if (checkpoint.hash !== hash) return rewritten(sequence, recordId, `the checkpoint of ${checkpoint.at}`)
      state.checkpoints += 1
    }
    state.sequence = sequence
    state.hash = hash
    state.checked += 1
  }
  return undefined
}

/** Records and checkpoints behind the end that was read at first: new ones, unless the end is still before them. */
async function beyondHead(source: ChainSource, head: Head, later: readonly Checkpoint[]): Promise<Finding | null> {
  // The end is read last: it moves in the same transaction as the records.
  const last = await source.lastSequence()
  const now = (await source.head())?.sequence ?? 0
  if (now < head.sequence) return truncated(now + 1, 'the end of the chain went back while it was read')
  if (last > now) {
    return {
      kind: 'inserted',
      sequence: now + 1,
      recordId: null,
      detail: `there is a record ${last}, the chain ends with ${now}`,
    }
  }
  const newest = later.find(({ sequence }) => sequence > now)
  return newest ? truncated(now + 1, `there was a record ${newest.sequence} at ${newest.at}`) : null
}

function signatureFinding(checked: 'valid' | 'forged' | 'unknown-key', end: Head, what: string): Finding | undefined {
  const of = { sequence: end.sequence, recordId: null }
  if (checked === 'forged')
    return { kind: 'forged', ...of, detail: `${what} was not signed with the key "${end.keyId}"` }
  if (checked === 'valid') return undefined
  return { kind: 'unknown-key', ...of, detail: `${what} is signed with the key "${end.keyId}", which was not given` }
}

const missing = (sequence: number, next: StoredRecord | undefined): Finding => ({
  kind: 'missing',
  sequence,
  recordId: null,
  detail: `record ${sequence} is not there${next ? `; the next one is ${next.sequence} (${next.recordId})` : ''}`,
})
const truncated = (sequence: number, detail: string): Finding => ({
  kind: 'truncated',
  sequence,
  recordId: null,
  detail: `the chain ends before record ${sequence}, and ${detail}`,
})
const rewritten = (sequence: number, recordId: string | null, what: string): Finding => ({
  kind: 'rewritten',
  sequence,
  recordId,
  detail: `record ${sequence} is another one than ${what} says`,
})
