/**
 * `scripts/rollout <function> --to <image>`: a new revision gets a rising share of the traffic, is judged at each step by what its own
 * pods counted, and loses the traffic again when it is bad.
 */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectKubectl, openKubeApi } from './cluster/kubectl.ts'
import { routeOf, type Route } from './cluster/route.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { kubeCluster } from './rolling/kube-cluster.ts'
import { planOf, readRequest, RequestError, rolloutFlags, type RolloutRequest } from './rolling/read-request.ts'
import { restoreInterrupted, releaseTraffic, undo } from './rolling/roll-back.ts'
import { messageOf, rollOut } from './rolling/roll-out.ts'
import type { RolloutWorld } from './rolling/rollout-cluster.ts'
import { LockedError, LostError, takeLock } from './rolling/rollout-lock.ts'
import { describePlan, describeService, resultAsJson } from './rolling/report.ts'
import { TrafficError } from './rolling/traffic.ts'
import { warmAt } from './rolling/warm.ts'

const options = parseArguments({
  command: 'npm run rollout --',
  summary: 'Gives a new image of a function a rising share of its traffic, and takes it away again when it is bad.',
  positionals: '<function>',
  flags: rolloutFlags,
  notes: [
    'The same without npm: scripts/rollout <function> [options].',
    '--steps 100 is blue-green: the new revision is warm before it gets everything at once.',
    'Exit code 0: the new revision has all traffic (or there was nothing to do). 1: it was bad and the old one has all traffic again, or',
    'another rollout of the function is going on. 130: interrupted, and the old one has all traffic again.',
    "The candidate is reachable before it gets traffic: http://<tag>-<function>.<namespace>.<domain>, and, where Knative's",
    "feature tag-header-based-routing is enabled, by the header Knative-Serving-Tag: <tag> at the function's own address.",
  ],
})

let request: RolloutRequest
try {
  request = readRequest(options)
} catch (error) {
  if (!(error instanceof RequestError) && !(error instanceof TrafficError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(2)
}

await runCommand(async ({ say, defer }) => {
  const connection = { tell: say, ...(options.context === undefined ? {} : { context: options.context }) }
  const kubectl = connectKubectl(connection)
  const api = await openKubeApi(connection)
  defer(() => api.close())
  const controller = new AbortController()
  let route: Promise<Route | undefined> | undefined
  const world: RolloutWorld = {
    cluster: kubeCluster(kubectl, api, request),
    clock: {
      nowMs: () => performance.now(),
      sleep: (durationMs, signal) => sleep(durationMs, undefined, { signal }),
      timestamp: () => new Date().toISOString().replace('Z', '000Z'),
    },
    say,
    id: `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`,
    async warm(url) {
      route ??= routeOf(kubectl, {
        ...request,
        connection,
        ...(options.ingress === undefined ? {} : { ingress: options.ingress }),
      }).catch((error: unknown) => {
        say(`No way to the ingress: ${messageOf(error)}`)
        return undefined
      })
      return warmAt(await route, url, options.warmPath, controller.signal)
    },
  }
  defer(async () => (await route)?.close())
  const answer = (result: unknown) => {
    if (options.json) process.stdout.write(`${resultAsJson(result)}\n`)
  }

  // The first Ctrl-C takes the traffic back before the command ends; a second one leaves that to the next run.
  const work = act(world, request, controller.signal, answer)
  defer(async () => {
    controller.abort()
    await work.catch(() => undefined)
  })
  try {
    return await work
  } catch (error) {
    if (error instanceof LockedError || error instanceof LostError || error instanceof TrafficError) {
      say(error.message)
      return 1
    }
    if (request.action === 'roll-out' && !request.dryRun)
      say(`What is half-way is put right by: scripts/rollout ${request.service} --abort`)
    throw error
  }
})

async function act(
  world: RolloutWorld,
  wanted: RolloutRequest,
  signal: AbortSignal,
  answer: (result: unknown) => void,
): Promise<number> {
  const { say } = world
  switch (wanted.action) {
    case 'status': {
      const service = await world.cluster.readService()
      for (const line of describeService(service)) say(line)
      answer({ traffic: service.status?.traffic ?? [] })
      return 0
    }
    case 'roll-out': {
      const plan = planOf(wanted)
      if (wanted.dryRun) {
        for (const line of describePlan(plan, await world.cluster.readService())) say(line)
        return 0
      }
      const result = await rollOut(world, plan, signal)
      if (result.outcome === 'unchanged') say(`${result.stable} has that image already; nothing to do.`)
      if (result.outcome === 'rolled-back')
        say(
          `${wanted.service} is back at ${result.stable}, because ${result.reason ?? 'of an error'}.` +
            (result.candidate === ''
              ? ''
              : ` To look at: kubectl -n ${wanted.namespace} describe revision ${result.candidate}`),
        )
      answer(result)
      return result.outcome === 'rolled-back' ? 1 : 0
    }
    case 'abort':
    case 'undo':
    case 'release': {
      const lock = await takeLock(world, wanted, { force: wanted.action === 'abort', signal })
      try {
        const keepTag = wanted.keepTag
        if (wanted.action === 'abort') {
          const state = await restoreInterrupted(world, { reason: 'aborted', keepTag })
          say(
            state ? `${state.stable.revision} has all traffic again.` : `No rollout of ${wanted.service} is half-way.`,
          )
          answer({ outcome: state ? 'rolled-back' : 'unchanged', stable: state?.stable.revision })
        } else if (wanted.action === 'undo') {
          const state = await undo(world, { keepTag })
          say(`${state.stable.revision} has all traffic again: ${state.stable.image}`)
          answer({ outcome: 'undone', stable: state.stable.revision })
        } else {
          const { revision } = await releaseTraffic(world)
          say(`Traffic follows the latest revision again: ${revision}`)
          answer({ outcome: 'released', stable: revision })
        }
      } finally {
        await lock.release()
      }
      return 0
    }
    default:
      return wanted.action satisfies never
  }
}
