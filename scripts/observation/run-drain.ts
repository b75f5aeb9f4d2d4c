/** The profile drain on a cluster: a sale, a copy of seckill, load on the copy, its pods taken away, the audit. */
import { auditSale, type Audit } from '../sale/audit.ts'
import type { KubeReader } from './kube-read.ts'
import type { Say } from '../lib/terminal.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { copyService, quickScale } from './copy-service.ts'
import {
  loadOrders,
  openLedger,
  prepareClusterSale,
  type ClusterAccess,
  type Routes,
  type SaleKeys,
} from './cluster-sale.ts'
import { drain, drainOnCluster, type DrainResult } from './drain.ts'
import { startLoad } from './load-handle.ts'
import type { LoadResult } from './load-orders.ts'
import { steadyPlan } from './phases.ts'

export type DrainRun = { everySeconds: number; takings: number; rate: number; stock: number }

export type DrainRunResult = DrainResult & Pick<Audit, 'ordersStored' | 'oversold' | 'lost' | 'double'>

const copyName = 'drain-seckill'
const pods = 2
/** Every fourth press is in work on a pod for this long. */
const slow = { every: 4, forMs: 3_000 }
/** Longer than any run; the load is stopped when the last pod was taken. */
const planSeconds = 7_200
const connections = 256
const storedWithinMs = 120_000

/** Used by `npm run observe -- --profile drain` and by `npm run test:cluster`. `defer` gets what is to be taken away at the end. */
export async function runDrain(
  cluster: {
    access: ClusterAccess
    api: KubeReader
    routes: Routes
    keys: SaleKeys
    defer: (undo: () => Promise<void>) => void
    say: Say
  },
  run: DrainRun,
): Promise<DrainRunResult> {
  const { access, api, routes, keys, defer, say } = cluster
  const { kubectl, namespace } = access
  say('Preparing the sale …')
  const sale = await prepareClusterSale(routes, keys, {
    name: 'Observed: drain',
    stock: run.stock,
    buckets: 1,
    startsInMs: 15_000,
    lengthMs: 4 * 3_600_000,
  })
  say(`Making ${copyName}, a copy of seckill with ${pods} pods …`)
  const copy = await copyService(kubectl, {
    namespace,
    service: 'seckill',
    name: copyName,
    annotations: {
      ...quickScale,
      'autoscaling.knative.dev/min-scale': String(pods),
      'autoscaling.knative.dev/initial-scale': String(pods),
      // By concurrency, so that the load of a small cluster asks for no more than the minimum.
      'autoscaling.knative.dev/metric': 'concurrency',
      'autoscaling.knative.dev/target': '1000',
    },
  })
  defer(() => copy.remove())
  const route = await routes.of(copyName)
  if (sale.startsAtMs > Date.now()) await sleep(sale.startsAtMs - Date.now() + 50)

  let loadResult: LoadResult | undefined
  const result = await drain(
    { everySeconds: run.everySeconds, takings: run.takings, pods },
    {
      ...drainOnCluster({ kubectl, api, namespace, copy, pods }),
      startLoad: () => {
        const plan = steadyPlan(run.rate, planSeconds)
        const handle = startLoad(
          loadOrders(keys, { route, activityId: sale.activityId }, { plan, connections, slow }),
          () => undefined,
        )
        void handle.finished.then(
          (found) => (loadResult = found),
          () => undefined,
        )
        return handle
      },
      say,
    },
  )
  defer(() => sale.close())
  const held = loadResult?.held ?? []
  const ledger = await openLedger(routes, keys, sale.activityId)
  try {
    const deadlineMs = Date.now() + storedWithinMs
    for (;;) {
      const { ordersStored, oversold, lost, double } = auditSale(await ledger.read(), held, {
        stock: run.stock,
        perUserLimit: 1,
      })
      if (lost === 0 || Date.now() > deadlineMs) return { ...result, ordersStored, oversold, lost, double }
      await sleep(500)
    }
  } finally {
    await ledger.close()
  }
}
