/** Checkpoints that were kept outside of the database: bare, in a line of the log (`checkpoint`), or in an event (`data`). */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import type { Checkpoint } from '../../functions/audit/macs.ts'

const checkpoint = z.object({
  tenantId: z.string(),
  sequence: z.int().min(1),
  hash: z.string(),
  at: z.string(),
  keyId: z.string(),
  mac: z.string(),
})

/** They are held in memory. */
const maximumCheckpoints = 1_000_000

/** By tenant. Lines that are something else are left out; a file without any checkpoint is an error. */
export async function readCheckpoints(file: string): Promise<Map<string, Checkpoint[]>> {
  const found = new Map<string, Checkpoint[]>()
  let count = 0
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    const read = checkpointOf(line)
    if (!read) continue
    count += 1
    if (count > maximumCheckpoints) throw new Error(`${file} has more than ${maximumCheckpoints} checkpoints`)
    const known = found.get(read.tenantId)
    if (known) known.push(read)
    else found.set(read.tenantId, [read])
  }
  if (count === 0) throw new Error(`${file} has no checkpoints`)
  return found
}

function checkpointOf(line: string): Checkpoint | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  const wrapped = value as { checkpoint?: unknown; data?: unknown } | null
  for (const candidate of [value, wrapped?.checkpoint, wrapped?.data]) {
    const parsed = checkpoint.safeParse(candidate)
    if (parsed.success) return parsed.data
  }
  return undefined
}
