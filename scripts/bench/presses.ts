/** Passes and bodies minted before the measurement, in the generator's file format. */
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'

export type PressPlan = {
  file: string
  passKeys: string
  tenantId: string
  activityId: string
  count: number
  /** Prefix of the user ids: the same prefix gives the same buyers. */
  buyers: string
  /** Everything a careful client sends: a pass bound to its device, an idempotency key. */
  full?: boolean
}

export async function writePresses(plan: PressPlan): Promise<void> {
  const passes = createPasses({ keys: parsePassKeys(plan.passKeys), now: Date.now })
  const issuedAtMs = Date.now()
  const expiresAtMs = issuedAtMs + 3_600_000
  const { tenantId, activityId, full = false } = plan
  const out = createWriteStream(plan.file)
  let chunk = ''
  for (let index = 0; index < plan.count; index++) {
    const userId = `${plan.buyers}-${index}`
    const device = full ? `device-${index}` : ''
    const body = full ? `{"quantity":1,"idempotencyKey":"key-${index}"}` : '{"quantity":1}'
    const pass = passes.issue({ tenantId, userId, activityId, device, issuedAtMs, expiresAtMs })
    chunk += `${pass}\t${device}\t${body}\n`
    if (chunk.length < 1_000_000) continue
    if (!out.write(chunk)) await once(out, 'drain')
    chunk = ''
  }
  out.end(chunk)
  await once(out, 'close')
}
