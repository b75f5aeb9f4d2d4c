/** What was typed, checked. */
import type { OptionTable, Parsed } from '../lib/arguments.ts'
import type { MetricsChoice } from './choose-source.ts'
import type { RolloutPlan } from './roll-out.ts'
import { readSteps } from './traffic.ts'

export const rolloutFlags = {
  to: { type: 'string', placeholder: 'IMAGE', help: 'the new image' },
  steps: { type: 'string', default: '1,10,50,100', placeholder: 'LIST', help: 'rising percentages that end with 100' },
  maxErrorRate: { type: 'string', default: '0.01', placeholder: 'SHARE', help: 'answers of 500 and more, 0 to 1' },
  maxP99Ms: { type: 'integer', default: 500, minimum: 1, help: 'the slowest of a hundred requests' },
  stepSeconds: { type: 'integer', default: 60, minimum: 1, maximum: 86_400, help: 'least length of a step' },
  maxStepSeconds: {
    type: 'integer',
    minimum: 1,
    maximum: 604_800,
    help: 'how long a step waits for enough requests (default ten steps)',
  },
  minRequests: { type: 'integer', default: 50, minimum: 0, help: 'fewer requests of a step are not judged' },
  fewRequests: {
    type: 'string',
    default: 'fail',
    choices: ['fail', 'continue'],
    help: 'what a step with too few requests means in the end',
  },
  readySeconds: { type: 'integer', default: 180, minimum: 1, maximum: 3_600, help: 'how long the revision may start' },
  metrics: {
    type: 'string',
    default: 'auto',
    choices: ['auto', 'queue-proxy', 'function'],
    help: "what it is judged by: queue-proxy's figures or the function's own",
  },
  tag: { type: 'string', default: 'candidate', placeholder: 'NAME', help: 'tag of the new revision' },
  keepTag: { type: 'boolean', help: 'keep the tag on a revision that was bad' },
  namespace: { type: 'string', default: 'stampede', placeholder: 'NAME', help: 'where the function is' },
  context: { type: 'string', placeholder: 'NAME', help: 'context of the kubeconfig' },
  ingress: { type: 'string', placeholder: 'HOST:PORT', help: 'where requests go, if it is not found' },
  warmPath: { type: 'string', default: '/health/readiness', placeholder: 'PATH', help: 'asked to warm the revision' },
  abort: { type: 'boolean', help: 'end a rollout, also one whose command died: the old revision gets all traffic' },
  undo: { type: 'boolean', help: 'after a finished rollout: all traffic back to the revision before it' },
  release: {
    type: 'boolean',
    help: 'after --abort, --undo or a failure: let traffic follow the latest revision again',
  },
  status: { type: 'boolean', help: 'say who has the traffic' },
  dryRun: { type: 'boolean', help: 'say what would be done' },
  json: { type: 'boolean', help: 'print the result as one JSON object on the last line' },
} as const satisfies OptionTable

/** What was typed does not fit together; the message is for people. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
}

export type RolloutRequest = {
  action: 'roll-out' | 'abort' | 'undo' | 'release' | 'status'
  namespace: string
  service: string
  dryRun: boolean
  keepTag: boolean
  plan: Omit<RolloutPlan, 'namespace' | 'service' | 'keepTag'> | undefined
}

/** @throws RequestError, TrafficError */
export function readRequest(options: Parsed<typeof rolloutFlags>): RolloutRequest {
  const [service, ...more] = options.positionals
  if (service === undefined || more.length > 0)
    throw new RequestError('Name one function, for example: scripts/rollout order --to <image>. See: --help')
  if (!namePattern.test(service)) throw new RequestError(`"${service}" is no name of a function.`)
  const actions = (['abort', 'undo', 'release', 'status'] as const).filter((action) => options[action])
  const [action = 'roll-out'] = actions
  if (actions.length > 1 || (options.to !== undefined && actions.length > 0))
    throw new RequestError('Only one of --to, --abort, --undo, --release and --status at a time.')
  const common = {
    namespace: options.namespace,
    service,
    dryRun: options.dryRun,
    keepTag: options.keepTag,
  }
  if (action !== 'roll-out') {
    if (options.dryRun) throw new RequestError('--dry-run goes with --to.')
    return { ...common, action, plan: undefined }
  }
  if (options.to === undefined) throw new RequestError('--to <image> is missing: the new image of the function.')
  const maxErrorRate = Number(options.maxErrorRate)
  if (options.maxErrorRate.trim() === '' || !(maxErrorRate >= 0 && maxErrorRate <= 1))
    throw new RequestError(`--max-error-rate is a share from 0 to 1, like 0.01; not "${options.maxErrorRate}".`)
  if (!tagPattern.test(options.tag) || options.tag.length + service.length > 62)
    throw new RequestError(`--tag is a short name of small letters, digits and dashes; not "${options.tag}".`)
  const maxStepSeconds = options.maxStepSeconds ?? options.stepSeconds * 10
  if (maxStepSeconds < options.stepSeconds) throw new RequestError('--max-step-seconds is less than --step-seconds.')
  return {
    ...common,
    action,
    plan: {
      image: options.to,
      steps: readSteps(options.steps),
      limits: {
        maxErrorRate,
        maxP99Ms: options.maxP99Ms,
        minRequests: options.minRequests,
        stepMs: options.stepSeconds * 1_000,
        maxStepMs: maxStepSeconds * 1_000,
        fewRequests: options.fewRequests as 'fail' | 'continue',
      },
      tag: options.tag,
      readyWithinMs: options.readySeconds * 1_000,
      metrics: options.metrics as MetricsChoice,
    },
  }
}

export function planOf({ plan, namespace, service, keepTag }: RolloutRequest): RolloutPlan {
  if (plan === undefined) throw new RequestError('Nothing to roll out.')
  return { ...plan, namespace, service, keepTag }
}

const namePattern = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/
const tagPattern = /^[a-z]([a-z0-9-]*[a-z0-9])?$/
