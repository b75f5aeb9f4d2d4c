import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { SignJWT } from 'jose'
import { ConfigurationError } from '../config/environment.ts'
import { readPodCredentials } from '../identity/pod-credentials.ts'
import { createTestIdentity } from '../testing/identity.ts'
import { eventOidcConfig, eventOidcSettings } from './event-oidc.ts'
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

const pod = { tokenFile: '/pod/token', caFile: '/pod/ca.crt', namespace: 'shop', issuer: 'https://oidc.example' }
const settings = (environment: Record<string, string>, own: typeof pod | undefined = pod) => {
  const found = eventOidcSettings(eventOidcConfig.parse(environment), () => own)
  return 'settings' in found ? found.settings : found.problems
}

test('event OIDC – in a pod everything is known from its service account', (t) => {
  t.deepEqual(settings({}), {
    issuer: 'https://oidc.example',
    audiences: undefined,
    subjects: ['system:serviceaccount:shop:*', 'system:serviceaccount:knative-eventing:*'],
    keys: {
      url: new URL('https://kubernetes.default.svc/openid/v1/jwks'),
      caFile: '/pod/ca.crt',
      tokenFile: '/pod/token',
    },
  })
})

test('event OIDC – the pod’s token is not sent to another address than the API server’s', (t) => {
  const { keys } = settings({ EVENT_OIDC_JWKS_URL: 'https://keys.example/jwks' }) as { keys: object }
  t.deepEqual(keys, { url: new URL('https://keys.example/jwks'), caFile: undefined, tokenFile: undefined })
})

test('event OIDC – outside of a pod the variables that are missing are named, and keys come by https only', (t) => {
  const problems = eventOidcSettings(eventOidcConfig.parse({}), () => undefined)
  t.true('problems' in problems && problems.problems.length === 2)
  t.regex(JSON.stringify(problems), /EVENT_OIDC_JWKS_URL is not set.*EVENT_OIDC_SUBJECTS is not set/)
  t.like(
    eventOidcSettings(
      eventOidcConfig.parse({ EVENT_OIDC_JWKS_URL: 'https://k', EVENT_OIDC_SUBJECTS: 'a' }),
      () => undefined,
    ),
    {
      settings: { issuer: 'https://kubernetes.default.svc.cluster.local', subjects: ['a'] },
    },
  )
  t.false(eventOidcConfig.safeParse({ EVENT_OIDC_JWKS_URL: 'http://keys.example/jwks' }).success)
})

test('event OIDC – a host that takes events does not start without what it needs', async (t) => {
  const { environment } = await createTestIdentity()
  const error = await t.throwsAsync(
    serve([createProbe().definition], {
      port: 0,
      host: '127.0.0.1',
      environment: {
        ...environment,
        LOG_LEVEL: 'silent',
        EVENT_AUTHENTICATION: 'oidc',
        EVENT_OIDC_POD_CREDENTIALS: '/nowhere',
      },
    }),
    { instanceOf: ConfigurationError },
  )
  t.regex(error.message, /no service account token in \/nowhere/)
})

test('readPodCredentials – reads namespace and issuer; without a token there are none', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'pod-'))
  t.teardown(() => rm(folder, { recursive: true }))
  t.is(readPodCredentials(folder), undefined)
  await writeFile(join(folder, 'token'), 'not a token')
  t.like(readPodCredentials(folder), { issuer: undefined, namespace: undefined })
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://cluster.test')
    .sign(new Uint8Array(32))
  await writeFile(join(folder, 'token'), `${token}\n`)
  await writeFile(join(folder, 'namespace'), 'shop\n')
  t.deepEqual(readPodCredentials(folder), {
    tokenFile: join(folder, 'token'),
    caFile: join(folder, 'ca.crt'),
    namespace: 'shop',
    issuer: 'https://cluster.test',
  })
})
