/** A function goes from no pod to several and back, by requests alone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { send } from '../cluster/send.ts'
import type { Part, PartContext } from './part.ts'
import { deployTrial, steadyLoad, trialImage } from './trial.ts'

/** Window, grace period (30 s by default), and a pod that drains for half a minute. */
const zeroWithinMs = 240_000
const severalWithinMs = 120_000
const service = 'trial-scale'

export const scalePart: Part = {
  name: 'scale',
  title: 'from no pod to several and back by real requests',
  async run(context) {
    const { say, check } = context
    const image = await trialImage(context.images, { version: 'scale', fails: false })
    const route = await deployTrial(context, service, image, {
      'autoscaling.knative.dev/metric': 'concurrency',
      'autoscaling.knative.dev/target': '2',
      'autoscaling.knative.dev/max-scale': '4',
    })
    check('no pod without requests', await reaches(context, (pods) => pods === 0, zeroWithinMs))

    const first = await send(route, '/', { timeoutMs: 60_000 })
    check(
      'the first request is answered from zero',
      first.status === 200,
      `${Math.round(first.durationMs)} ms, status ${first.status}`,
    )
    say('Requests that take half a second, 20 a second: ten at a time …')
    const load = steadyLoad(route, { perSecond: 20, path: '/?ms=500' })
    const several = await reaches(context, (pods) => pods >= 2, severalWithinMs)
    await sleep(5_000)
    const { answered, failed } = await load.stop()
    check('several pods under load', several)
    check('every request is answered', failed === 0 && answered > 0, `${answered} answered, ${failed} not`)
    check('no pod again', await reaches(context, (pods) => pods === 0, zeroWithinMs))
  },
}

async function reaches(
  { kubectl, trialNamespace, say, signal }: PartContext,
  enough: (pods: number) => boolean,
  withinMs: number,
): Promise<boolean> {
  let last: number | undefined
  for (const untilMs = Date.now() + withinMs; Date.now() < untilMs;) {
    signal.throwIfAborted()
    const text = await kubectl.run([
      '-n',
      trialNamespace,
      'get',
      'pods',
      '-l',
      `serving.knative.dev/service=${service}`,
      '--field-selector=status.phase=Running',
      '-o',
      'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}',
    ])
    const pods = text.split('\n').filter((line) => line !== '').length
    if (pods !== last) say(`  ${pods} pods`)
    last = pods
    if (enough(pods)) return true
    await sleep(1_000)
  }
  return false
}
