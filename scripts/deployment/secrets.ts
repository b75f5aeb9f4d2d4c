/** Secrets: kept when they exist, completed when something is missing, changed only by what was given explicitly. */
import {
  createPassKeys,
  createServiceSecret,
  createSigningKey,
  identitySecret,
  noKeys,
  ownAudience,
  ownIssuer,
  ownKeysUrl,
  readLabelledSecret,
  readSecret,
  signingSecret,
  type SecretData,
} from '../cluster/identity.ts'
import { stageLabel, type Stage } from './manifests.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'

const partOfLabel = 'app.kubernetes.io/part-of'

export type SecretPlan = {
  name: string
  stage: Stage
  /** Default: the platform's. */
  namespace?: string
  /** Wins over what is stored. */
  given: SecretData
  /** Made for keys that are neither stored nor given. */
  missing: () => SecretData
  /** Keys that go. */
  without?: readonly string[]
}

/** Says the names of keys, never their values; they travel by standard input. Returns the values. */
export async function ensureSecret(context: DeployContext, plan: SecretPlan): Promise<SecretData> {
  const { kubectl, say, dryRun } = context
  const place = plan.namespace ?? namespace
  const { data: stored = {}, labels } = (await readLabelledSecret(kubectl, place, plan.name)) ?? {}
  const without = plan.without ?? []
  const data = Object.fromEntries(
    Object.entries({ ...plan.missing(), ...stored, ...plan.given }).filter(([key]) => !without.includes(key)),
  )
  const added = Object.keys(data).filter((key) => !(key in stored))
  const changed = Object.keys(plan.given).filter((key) => key in stored && stored[key] !== plan.given[key])
  const dropped = Object.keys(stored).filter((key) => without.includes(key))
  // One that a person put back by hand would be found neither by the step services nor by cleanup.
  const isOurs = labels?.[partOfLabel] === 'stampede' && labels[stageLabel] === plan.stage
  if (added.length + changed.length + dropped.length === 0 && isOurs) {
    say(`Secret ${plan.name}: kept`)
    return data
  }
  const what = [
    added.length > 0 ? `new ${added.join(', ')}` : '',
    changed.length > 0 ? `changed ${changed.join(', ')}` : '',
    dropped.length > 0 ? `without ${dropped.join(', ')}` : '',
    added.length + changed.length + dropped.length === 0 ? 'kept, now with its labels' : '',
  ].filter((text) => text !== '')
  if (dryRun) {
    say(`Secret ${plan.name}: would be stored (${what.join('; ')})`)
    return data
  }
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {
      name: plan.name,
      namespace: place,
      labels: { [partOfLabel]: 'stampede', [stageLabel]: plan.stage },
    },
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'utf8').toString('base64')]),
    ),
  }
  // The value of a Secret that a person made with kubectl create belongs to another manager.
  await kubectl.apply(JSON.stringify(secret), { forceConflicts: true })
  say(`Secret ${plan.name}: ${what.join('; ')}`)
  if (changed.length > 0) say('Pods that run keep the old values until the steps eventing and services are run again.')
  return data
}

/**
 * `AUTH_JWKS_URL`, `AUTH_ISSUER`, `AUTH_AUDIENCE`, `SERVICE_SECRET`, `PASS_KEYS`, `CAPTCHA_SECRET` of the environment win over what is made here.
 * `without`: keys of which the Secret must not hold a copy any more.
 */
export async function ensureIdentity(
  context: DeployContext,
  without: (stored: SecretData) => readonly string[] = () => [],
): Promise<void> {
  const { environment, overlay } = context
  const given = definedOnly({
    'jwks-url': environment['AUTH_JWKS_URL'],
    issuer: environment['AUTH_ISSUER'],
    audience: environment['AUTH_AUDIENCE'],
    'service-secret': environment['SERVICE_SECRET'],
    'pass-keys': environment['PASS_KEYS'],
    'captcha-secret': environment['CAPTCHA_SECRET'],
  })
  checkIdentity(given)
  const stored = (await readSecret(context.kubectl, namespace, identitySecret)) ?? {}
  const own: SecretData = {}
  // An installation from before `auth` had the public half of its trial key as the address itself.
  if (given['jwks-url'] === undefined && (stored['jwks-url'] ?? 'data:').startsWith('data:'))
    own['jwks-url'] = ownKeysUrl
  const issuer = given['issuer'] ?? stored['issuer']
  if (overlay === 'production' && issuer === undefined)
    throw new DeployError(
      'Tokens need the public address of the shop as their issuer. Set AUTH_ISSUER (and AUTH_JWKS_URL and AUTH_AUDIENCE, when people sign in elsewhere) in the environment and run the same command again.',
    )
  if (given['jwks-url'] === undefined && stored['jwks'] === undefined && overlay !== 'production') {
    const signing = await createSigningKey()
    own['jwks'] = signing.jwks
    // The private half first: a run that ends between the two makes a new pair the next time.
    await ensureSecret(context, {
      name: signingSecret,
      stage: 'init',
      given: { 'private-jwk': signing.privateJwk },
      missing: () => ({}),
    })
  }
  await ensureSecret(context, {
    name: identitySecret,
    stage: 'init',
    given: { ...given, ...own },
    without: without(stored),
    missing: () => ({
      jwks: noKeys,
      issuer: ownIssuer,
      audience: ownAudience,
      'service-secret': createServiceSecret(),
      'pass-keys': createPassKeys(),
      // Where no provider is used the key is there and empty: func.yaml cannot say that one is optional.
      'captcha-secret': '',
    }),
  })
}

function checkIdentity(given: SecretData): void {
  const problems: string[] = []
  if (given['service-secret'] !== undefined && given['service-secret'].length < 32)
    problems.push('SERVICE_SECRET has fewer than 32 characters')
  const passKeys = given['pass-keys']
  if (passKeys !== undefined && !/^[\w-]+:[A-Za-z0-9+/=]+(,[\w-]+:[A-Za-z0-9+/=]+)*$/.test(passKeys))
    problems.push('PASS_KEYS is not of the form id:base64,id:base64')
  if (given['jwks-url'] !== undefined && !URL.canParse(given['jwks-url'])) problems.push('AUTH_JWKS_URL is not a URL')
  if (given['jwks-url'] !== undefined && (given['issuer'] === undefined || given['audience'] === undefined))
    problems.push('AUTH_JWKS_URL needs AUTH_ISSUER and AUTH_AUDIENCE beside it')
  if (problems.length > 0) throw new DeployError(`${problems.join('; ')}.`)
}

export const definedOnly = (values: Record<string, string | undefined>): SecretData =>
  Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  )
