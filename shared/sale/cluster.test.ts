/** The sale on a real Redis Cluster of three masters, and behind Sentinel with a failover. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Cluster, Redis } from 'ioredis'
import { connectRedis } from '../redis/connect.ts'
import { createLock } from '../redis/lock.ts'
import { bucketRef, bucketRefs, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { freePort, startRedis, type OwnRedis } from '../testing/services.ts'
import { bucketOf } from './bucket.ts'
import { createJournal } from './journal.ts'
import { bucketKeys } from './keys.ts'
import { recoverUntilWhole } from './recovery.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { BucketRef } from './types.ts'

const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  let cause: unknown
  const holds = () =>
    condition().catch((error: unknown) => {
      cause = error
      return false
    })
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within a minute: ${what}`, { cause })
    await pause(50)
  }
}

type ClusterNode = { server: OwnRedis; busPort: number; client: Redis }

async function startCluster(t: ExecutionContext): Promise<{ url: string; nodes: ClusterNode[] }> {
  const nodes: ClusterNode[] = []
  for (let i = 0; i < 3; i++) {
    const busPort = await freePort()
    // `always`: with `everysec` a kill may forget the whole sale, and this is not the test for that.
    const args = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--appendfsync', 'always']
    const server = await startRedis({ appendonly: true, args })
    const client = new Redis(server.port, '127.0.0.1', { protocol: 2 })
    client.on('error', () => {})
    nodes.push({ server, busPort, client })
  }
  t.teardown(async () => {
    for (const { client } of nodes) client.disconnect()
    await Promise.all(nodes.map(({ server }) => server.stop()))
  })
  const slots = [0, 5461, 10923, 16384]
  for (const [i, { client }] of nodes.entries()) {
    await client.call('CLUSTER', 'ADDSLOTSRANGE', slots[i]!, slots[i + 1]! - 1)
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
  }
  for (const { server, busPort } of nodes.slice(1)) {
    await nodes[0]!.client.call('CLUSTER', 'MEET', '127.0.0.1', server.port, busPort)
  }
  for (const { client } of nodes) {
    await until('cluster is ok', async () => {
      const info = String(await client.call('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
    })
  }
  return { url: `redis-cluster://${nodes.map(({ server }) => `127.0.0.1:${server.port}`).join(',')}`, nodes }
}

test.serial('cluster – a sale over buckets on three masters sells exactly the stock', async (t) => {
  const { url } = await startCluster(t)
  const redis = connectRedis(url)
  t.teardown(() => redis.disconnect())
  t.true(redis instanceof Cluster)
  const store = createSaleStore(redis)
  const sale = newSale({ stock: 60, buckets: 8, perUserLimit: 2 })
  t.is(await store.warmUp(sale), 'created')
  t.is(await store.warmUp(sale), 'exists')
  t.is((await store.listSales()).length, 1)

  const winners = (
    await Promise.all(
      Array.from({ length: 120 }, async (_, i) => {
        const purchase = press(`buyer-${i}`)
        const bucket = bucketRef(sale, bucketOf(purchase.userId, 8))
        for (let attempt = 0; attempt < 20; attempt++) {
          const [verdict] = (await store.purchase(bucket, [purchase])).verdicts
          if (verdict!.outcome === 'accepted') return [purchase]
          if ((await store.rebalance(bucket, 8, 1)) === 0) return []
        }
        return []
      }),
    )
  ).flat()
  t.is(winners.length, 60)

  const messages = (await Promise.all(bucketRefs(sale).map((bucket) => readMessages(store, bucket)))).flat()
  t.deepEqual(
    messages.map(({ orderNumber }) => orderNumber).sort(),
    winners.map(({ orderNumber }) => orderNumber).sort(),
  )
  for (const [bucketNumber, bucket] of bucketRefs(sale).entries()) {
    const own = winners.filter(({ userId }) => bucketOf(userId, 8) === bucketNumber)
    t.is(await store.confirm(bucket, own), own.length)
    t.is(await store.release(bucket, own), own.length)
    await store.claimOutbox(bucket, 'other', 0, 100)
    await store.scanBuyers(bucket, '0', 10)
    t.true(await store.setState(bucket, 'closed'))
  }
  const snapshots = await Promise.all(bucketRefs(sale).map((bucket) => snapshotOf(store, bucket)))
  t.is(
    snapshots.reduce((sum, { left }) => sum + left, 0),
    60,
  )
  t.is(
    snapshots.reduce((sum, { sold, confirmed }) => sum + sold + confirmed, 0),
    0,
  )

  const held = await createLock(redis).acquire('cluster-job')
  t.true(await held!.release())
  await store.expire(sale, 100)
  t.deepEqual(await store.listSales(), [])
})

test.serial('cluster – one master restarts: its buckets recover, the others sell on', async (t) => {
  const { url, nodes } = await startCluster(t)
  const redis = connectRedis(url) as Cluster
  t.teardown(() => redis.disconnect())
  const store = createSaleStore(redis)
  const isOnFirst = async (bucket: BucketRef) =>
    Number(await nodes[0]!.client.call('CLUSTER', 'KEYSLOT', bucketKeys(bucket).sale)) < 5_461
  // Activity ids are random, and so are the slots of their buckets: one bucket on the first master, one elsewhere.
  let sale = newSale({ stock: 200, buckets: 2 })
  while (!(await isOnFirst(bucketRef(sale, 0))) || (await isOnFirst(bucketRef(sale, 1)))) {
    sale = newSale({ stock: 200, buckets: 2 })
  }
  await store.warmUp(sale)
  const bucket = bucketRef(sale, 0)
  const journal = createJournal()
  const purchases = [press('ann')]
  journal.purchased(bucket, purchases, await store.purchase(bucket, purchases))

  await nodes[0]!.server.kill('SIGKILL')
  await nodes[0]!.server.restart()
  await until('the node is back', async () => (await store.snapshot(bucket)) !== undefined)
  t.deepEqual((await store.purchase(bucket, [press('bob')])).verdicts, [{ outcome: 'recovering' }])
  t.is((await store.purchase(bucketRef(sale, 1), [press('bob')])).verdicts[0]!.outcome, 'accepted')
  const { whole } = await recoverUntilWhole(store, bucket, journal, { graceMs: 100, pause })
  t.true(whole)
  t.is((await store.purchase(bucket, [press('bob')])).verdicts[0]!.outcome, 'accepted')
  t.like(await snapshotOf(store, bucket), { sold: 2, left: 98 })
})

async function startSentinel(t: ExecutionContext, masterPort: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'stampede-sentinel-'))
  const port = await freePort()
  const file = join(directory, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir "${directory}"`,
    `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 5000',
  ]
  await writeFile(file, lines.join('\n') + '\n')
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  t.teardown(async () => {
    const exited = once(child, 'exit')
    end()
    await exited
    process.off('exit', end)
    await rm(directory, { recursive: true, force: true })
  })
  return port
}

test.serial('sentinel – after a failover the sale recovers on the new master', async (t) => {
  const master = await startRedis()
  const replica = await startRedis({
    args: ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'],
  })
  const sentinelPort = await startSentinel(t, master.port)
  const redis = connectRedis(`redis-sentinel://127.0.0.1:${sentinelPort}/mymaster`, { commandTimeoutMs: 1_000 })
  const sentinel = new Redis(sentinelPort, '127.0.0.1', { protocol: 2 })
  const copy = new Redis(replica.port, '127.0.0.1', { protocol: 2 })
  for (const client of [sentinel, copy]) client.on('error', () => {})
  t.teardown(async () => {
    for (const client of [redis, sentinel, copy]) client.disconnect()
    await Promise.all([master.stop(), replica.stop()])
  })
  await until('sentinel knows the replica', async () =>
    JSON.stringify(await sentinel.call('SENTINEL', 'REPLICAS', 'mymaster')).includes(`"${replica.port}"`),
  )
  await until('replica follows', async () => (await copy.info('replication')).includes('master_link_status:up'))

  const store = createSaleStore(redis)
  const sale = newSale({ stock: 10 })
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const journal = createJournal()
  const buy = async (userId: string) => {
    const purchases = [press(userId)]
    const result = await store.purchase(bucket, purchases)
    journal.purchased(bucket, purchases, result)
    return result.verdicts[0]!.outcome
  }
  t.is(await buy('ann'), 'accepted')
  await until('replica has it', async () => (await copy.hget(bucketKeys(bucket).sale, 'sold')) === '1')
  // The second purchase does not reach the replica.
  await copy.call('REPLICAOF', 'NO', 'ONE')
  t.is(await buy('bob'), 'accepted')
  await master.kill('SIGKILL')
  await until('the new master answers', async () => (await buy('cid')) === 'recovering')
  t.deepEqual(await recoverUntilWhole(store, bucket, journal, { graceMs: 100, pause }), { restored: 1, whole: true })
  t.like(await snapshotOf(store, bucket), { sold: 2, left: 8, whole: true, recoveries: 1 })
})
