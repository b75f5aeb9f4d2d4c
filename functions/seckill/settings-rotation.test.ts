/** Settings are rotated while buyers solve challenges, ask for passes and press: not one request fails. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { solveProofOfWork } from '@stampede/shared/sale/proof-of-work.ts'
import { accessToken, startStage } from './testing.ts'

const rotations = 12
const buyersAtOnce = 6

test('rotation – settings change under traffic, and every buyer gets challenge, pass and unit at the first try', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stampede-rotation-'))
  const file = join(folder, 'seckill.yaml')
  const write = (version: number) => {
    const document = {
      version,
      rates: { purchasesPerSecond: 100_000 + version, burst: 200_000 - version },
      decisions: { batch: 1 + (version % 64), callsInFlight: 1 + (version % 16) },
      relay: { batch: 100 + version, lingerMs: version % 5 },
      passes: { ttlSeconds: 100 + version, byUser: 10 + version },
      challenge: { difficultyBits: version % 6, ttlSeconds: 60 + version },
    }
    writeFileSync(`${file}.new`, JSON.stringify(document))
    renameSync(`${file}.new`, file)
  }
  write(1)
  // Whether a purchase is decided in time is another matter: this machine may be busy.
  const stage = await startStage({
    CHALLENGE: 'proof-of-work',
    CONFIGURATION_FOLDER: folder,
    DECISION_TIMEOUT_MS: '60000',
  })
  t.teardown(async () => {
    await stage.stop()
    rmSync(folder, { recursive: true })
  })
  const { activityId } = await stage.sale({ stock: 1_000_000 })
  const path = `/api/v1/seckill/${activityId}`
  const json = { 'content-type': 'application/json' }
  const failures: unknown[] = []
  const difficulties = new Set<unknown>()
  const traffic = { buyers: 0, ended: false }

  const buy = async (userId: string) => {
    const headers = { ...json, authorization: `Bearer ${await accessToken(stage.tenantId, userId)}` }
    const offer = await stage.get(`${path}/challenge`, headers)
    const { challenge, difficultyBits } = offer.body as { challenge: string; difficultyBits: number }
    difficulties.add(difficultyBits)
    const challengeAnswer = `${challenge}:${solveProofOfWork(challenge, difficultyBits)}`
    const given = await stage.post(`${path}/pass`, headers, JSON.stringify({ challengeAnswer }))
    const bought = await stage.post(`${path}/purchases`, { ...json, 'stampede-pass': String(given.body['pass']) }, '{}')
    const statuses = [offer.status, given.status, bought.status]
    if (statuses.join() !== '200,200,202') failures.push([statuses, given.body, bought.body])
  }
  const crowd = Promise.all(
    Array.from({ length: buyersAtOnce }, async () => {
      while (!traffic.ended) await buy(`buyer-${(traffic.buyers += 1)}`)
    }),
  )
  try {
    for (let version = 2; version <= rotations; version++) {
      const { buyers } = traffic
      write(version)
      const applied = `configuration_version_info{name="seckill",version="${version}"`
      await until(async () => (await (await fetch(`${stage.url}/metrics`)).text()).includes(applied))
      // A wrong one in between changes nothing.
      if (version % 4 === 0) writeFileSync(file, `{"version":${version}.5,"rates":{"burst":-1}}`)
      await until(() => traffic.buyers >= buyers + buyersAtOnce)
    }
  } finally {
    traffic.ended = true
    await crowd
  }
  t.deepEqual(failures, [])
  t.true(traffic.buyers >= rotations * buyersAtOnce)
  t.true(difficulties.size > 2)
})

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}
