/** `scripts/rollout`: a good version gets all traffic step by step; one whose every answer is an error loses it by itself. */
import type { Part, PartContext } from './part.ts'
import { runScript } from './run-script.ts'
import { deployTrial, serviceKind, steadyLoad, trialImage } from './trial.ts'

const service = 'trial-canary'
const rolloutWithinMs = 600_000
const settings =
  '--steps 20,60,100 --step-seconds 6 --max-step-seconds 120 --min-requests 20 --max-error-rate 0.05 --max-p99-ms 2500'

type Target = { revisionName?: string; latestRevision?: boolean; percent?: number }
type Result = { outcome?: string; reason?: string; stable?: string; candidate?: string; metrics?: string }

export const canaryPart: Part = {
  name: 'canary',
  title: 'a good revision is rolled out, a failing one is rolled back by itself',
  async run(context) {
    const { check, say, images } = context
    const first = await trialImage(images, { version: 'first', fails: false })
    const second = await trialImage(images, { version: 'second', fails: false })
    const failing = await trialImage(images, { version: 'failing', fails: true })
    const route = await deployTrial(context, service, first, { 'autoscaling.knative.dev/max-scale': '2' })
    const load = steadyLoad(route, { perSecond: 20, path: '/' })
    context.defer(() => load.stop())

    const good = await rollout(context, ['--to', second, ...settings.split(' ')])
    check(
      'a good revision gets all traffic',
      good.exitCode === 0 && good.result.outcome === 'finished',
      good.result.reason,
    )
    check(
      'no request failed meanwhile',
      load.sent.failed === 0,
      `${load.sent.answered} answered, ${load.sent.failed} not`,
    )
    say(`Judged by the metrics of ${good.result.metrics ?? 'nothing'}.`)

    const beforeFailed = load.sent.failed
    const beforeAnswered = load.sent.answered
    const bad = await rollout(context, ['--to', failing, ...settings.split(' ')])
    check(
      'a failing revision is rolled back',
      bad.exitCode === 1 && bad.result.outcome === 'rolled-back',
      bad.result.reason,
    )
    const shares = await sharesOf(context)
    check('the revision before it has all traffic', shares === `${good.result.candidate} 100`, shares)
    const requests = load.sent.answered - beforeAnswered + load.sent.failed - beforeFailed
    const met = (load.sent.failed - beforeFailed) / Math.max(requests, 1)
    check('few met the failing revision', met < 0.5, `${load.sent.failed - beforeFailed} of ${requests} requests`)

    const undone = await rollout(context, ['--release'])
    check('traffic follows the latest revision again', undone.exitCode === 0)
    await load.stop()
  },
}

async function rollout(
  context: PartContext,
  words: readonly string[],
): Promise<{ exitCode: number | undefined; result: Result }> {
  const { trialNamespace, ingress } = context
  const target = ['--namespace', trialNamespace, '--json', ...(ingress === undefined ? [] : ['--ingress', ingress])]
  const { exitCode, result } = await runScript(context, ['rollout', service, ...words, ...target], {
    timeoutMs: rolloutWithinMs,
  })
  return { exitCode, result }
}

async function sharesOf({ kubectl, trialNamespace }: PartContext): Promise<string> {
  const { status } = await kubectl.json<{ status?: { traffic?: Target[] } }>([
    '-n',
    trialNamespace,
    'get',
    serviceKind,
    service,
  ])
  return (status?.traffic ?? [])
    .filter(({ percent = 0 }) => percent > 0)
    .map(({ revisionName = '', percent = 0 }) => `${revisionName} ${percent}`)
    .join(', ')
}
