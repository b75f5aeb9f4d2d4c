/** A sale during which one pod of each function is killed at once: nothing is oversold, lost or double. */
import { setTimeout as sleep } from 'node:timers/promises'
import { routeOf } from '../cluster/route.ts'
import { send } from '../cluster/send.ts'
import type { Part, PartContext } from './part.ts'
import { runScript } from './run-script.ts'
import { serviceKind } from './trial.ts'

const saleWithinMs = 900_000
/** Between one kill and the next. */
const betweenMs = 2_000
const podWithinMs = 60_000
const sale =
  '--stock 900 --warm-rate 5 --warm-seconds 5 --burst-rate 40 --burst-seconds 15 --plateau-rate 20 --plateau-seconds 30 --end-seconds 5 --connections 32 --down-within 0'

export const killsPart: Part = {
  name: 'kills',
  title: 'a pod of each function is killed during a sale',
  async run(context) {
    const { namespace, ingress, check } = context
    const functions = await functionsOf(context)
    if (functions.length === 0) throw new Error(`There is no function in namespace ${namespace}: leave out --deployed.`)
    let begin: () => void = () => undefined
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const words = ['observe', '--profile', 'sale', ...sale.split(' '), '--namespace', namespace, '--json']
    const ended = runScript(context, [...words, ...(ingress === undefined ? [] : ['--ingress', ingress])], {
      timeoutMs: saleWithinMs,
      onLine: (line) => {
        if (line.includes('Load: ')) begin()
      },
    })
    // A sale that never begins ends the wait as well.
    await Promise.race([begun, ended])
    const killed: string[] = []
    for (const name of functions) {
      await sleep(betweenMs)
      const pod = await killOne(context, name)
      if (pod !== undefined) killed.push(name)
    }
    check('a pod of each function was killed', killed.length === functions.length, killed.join(', '))
    const { exitCode, result } = await ended
    const stored = result['stored'] as Record<string, number> | undefined
    check('the sale was held to its end', exitCode !== undefined && stored !== undefined)
    const { ordersStored = 0, oversold, lost, double } = stored ?? {}
    check('orders were stored', ordersStored > 0, `${ordersStored} orders`)
    check('0 oversold, 0 lost, 0 double', oversold === 0 && lost === 0 && double === 0, JSON.stringify(stored))
  },
}

async function functionsOf({ kubectl, namespace }: PartContext): Promise<string[]> {
  const { items } = await kubectl.json<{ items: { metadata: { name: string } }[] }>([
    '-n',
    namespace,
    'get',
    serviceKind,
    '-l',
    'app.kubernetes.io/component=function',
  ])
  // What sells and stores first, while the sale is at its height.
  const rank = (name: string) => hottest.indexOf(name) + 1 || hottest.length + 1
  return items.map(({ metadata }) => metadata.name).sort((one, other) => rank(one) - rank(other))
}

const hottest = ['seckill', 'order']

/** Without a grace period, as a node that dies takes it. A function without pods is woken first. */
async function killOne(context: PartContext, name: string): Promise<string | undefined> {
  const { kubectl, namespace, say, signal } = context
  for (const untilMs = Date.now() + podWithinMs; Date.now() < untilMs && !signal.aborted;) {
    const text = await kubectl.run([
      '-n',
      namespace,
      'get',
      'pods',
      '-l',
      `serving.knative.dev/service=${name}`,
      '--field-selector=status.phase=Running',
      '-o',
      'jsonpath={range .items[*]}{.metadata.name} {.metadata.deletionTimestamp}{"\\n"}{end}',
    ])
    // A pod that is ending already is no victim.
    const pod = text
      .split('\n')
      .map((line) => line.trim())
      .find((line) => line !== '' && !line.includes(' '))
    if (pod !== undefined) {
      await kubectl.run(['-n', namespace, 'delete', 'pod', pod, '--grace-period=0', '--force', '--wait=false'])
      say(`  killed ${pod}`)
      return pod
    }
    await wake(context, name)
  }
  return undefined
}

async function wake({ kubectl, namespace, connection, ingress }: PartContext, service: string): Promise<void> {
  const route = await routeOf(kubectl, {
    namespace,
    service,
    connection,
    ...(ingress === undefined ? {} : { ingress }),
  })
  try {
    await send(route, '/health/readiness', { timeoutMs: 30_000 }).catch(() => undefined)
  } finally {
    await route.close()
  }
}
