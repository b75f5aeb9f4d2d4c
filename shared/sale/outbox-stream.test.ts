/** What Kafka has leaves the outbox: acknowledged and deleted in one step, whatever Redis forgets of it. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { connectRedis } from '../redis/connect.ts'
import { runScript } from '../redis/run-script.ts'
import { bucketRef, newSale, press } from '../testing/sale.ts'
import { startRedis } from '../testing/services.ts'
import { bucketKeys } from './keys.ts'
import { createSaleStore } from './redis-sale-store.ts'

const server = await startRedis({ appendonly: true, args: ['--appendfsync', 'always'] })
const redis = connectRedis(server.url)
const store = createSaleStore(redis)
test.after.always(async () => {
  redis.disconnect()
  await server.stop()
})

/** A bucket whose outbox holds entries of one purchase each, all read by the consumer `dead`. */
async function readBy(entries: number) {
  const sale = newSale({ stock: 10_000 })
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  await Promise.all(Array.from({ length: entries }, (_, entry) => store.purchase(bucket, [press(`buyer-${entry}`)])))
  const ids = (await store.readOutbox(bucket, 'dead', entries)).map(({ id }) => id)
  const { outbox } = bucketKeys(bucket)
  return { bucket, ids, outbox }
}

const heldBy = async (outbox: string) => {
  const [pending] = (await redis.xpending(outbox, 'relay')) as [number]
  return { length: await redis.xlen(outbox), pending }
}

test.serial(
  'acknowledge – the entries are gone from the stream and from those that are pending; the others stay',
  async (t) => {
    const { bucket, ids, outbox } = await readBy(5)
    await store.acknowledgeOutbox(bucket, [ids[1]!, ids[3]!])
    t.deepEqual(await heldBy(outbox), { length: 3, pending: 3 })
    const claimed = await store.claimOutbox(bucket, 'other', 0, 10)
    t.deepEqual(
      claimed.map(({ id }) => id),
      [ids[0], ids[2], ids[4]],
    )
    await store.acknowledgeOutbox(bucket, ids)
    t.deepEqual(await heldBy(outbox), { length: 0, pending: 0 })
    await t.notThrowsAsync(store.acknowledgeOutbox(bucket, ids), 'once more, because the answer was lost')
  },
)

test.serial('acknowledge – none, and more than the script takes at once', async (t) => {
  const { bucket, ids, outbox } = await readBy(1_003)
  await store.acknowledgeOutbox(bucket, [])
  t.deepEqual(await heldBy(outbox), { length: 1_003, pending: 1_003 })
  await store.acknowledgeOutbox(bucket, ids.slice(0, 1_001))
  t.deepEqual(await heldBy(outbox), { length: 2, pending: 2 })
})

test.serial('acknowledge script – counts what it deleted now; malformed: -2, and nothing is done', async (t) => {
  const { ids, outbox } = await readBy(3)
  const run = (packed: string, count: number) =>
    runScript(redis, scripts.acknowledgeOutbox, [outbox, 'relay', packed, count])
  t.is(await run(ids.join(' '), 2), -2)
  t.is(await run(ids.slice(0, 2).join(' '), 3), -2)
  t.is(await run('', 0), -2)
  t.is(await run('1 2 3', 3), -2)
  t.is(await run(Array.from({ length: 1_001 }, () => ids[0]).join(' '), 1_001), -2)
  t.deepEqual(await heldBy(outbox), { length: 3, pending: 3 })
  t.is(await run(ids.slice(0, 2).join(' '), 2), 2)
  t.is(await run(ids.join(' '), 3), 1)
  t.deepEqual(await heldBy(outbox), { length: 0, pending: 0 })
})

test.serial(
  'acknowledge – Redis forgets any part of it: an entry that is still there is still pending, and is claimed',
  async (t) => {
    const { bucket, ids, outbox } = await readBy(2)
    const folder = join(server.directory, 'appendonlydir')
    const path = join(
      folder,
      (await readdir(folder)).find((file) => file.endsWith('.incr.aof'))!,
    )
    const before = (await readFile(path)).length
    await store.acknowledgeOutbox(bucket, ids)
    const log = await readFile(path)
    // The log is cut before each command that the acknowledgement wrote, and after the last one.
    const cuts = [...log.subarray(before).toString('latin1').matchAll(/^\*/gm)].map(({ index }) => before + index)
    t.true(cuts.length >= 2, 'there is something in between')
    const seen = new Set<number>()
    for (const cut of [...cuts, log.length]) {
      await server.kill('SIGKILL')
      await writeFile(path, log.subarray(0, cut))
      await server.restart()
      const { length, pending } = await heldBy(outbox)
      t.is(pending, length, `cut at ${cut - before} of ${log.length - before} bytes`)
      t.is((await store.claimOutbox(bucket, 'other', 0, 10)).length, length)
      seen.add(length)
    }
    t.deepEqual(seen, new Set([2, 0]))
  },
)
