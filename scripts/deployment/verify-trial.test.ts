/** The trial of a deployment against the functions themselves, with the keys that `init` makes and the settings of the overlay. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { bootstrapAdministrators } from '../../functions/permission/bootstrap.ts'
import { bootstrapTenants } from '../../functions/tenant/settings.ts'
import { caller, startCollection, type Collection } from '../../functions/testing.ts'
import { trialStaff } from '../cluster/identity.ts'
import { readManifestFile } from '../generate/knative/manifest.ts'
import { overlays, renderedPath } from '../generate/knative/render.ts'
import { localTenant } from '../sale/identity.ts'
import { init } from './init.ts'
import { memoryCluster, secretOf, testContext } from './testing.ts'
import { tokensFor } from './verify-tokens.ts'
import { verify } from './verify.ts'

const root = join(import.meta.dirname, '..', '..')
const settingsOf = async (overlay: string): Promise<Record<string, string>> =>
  (await readManifestFile(join(root, renderedPath(overlay)))).find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'stampede',
  )?.data ?? {}

for (const overlay of overlays) {
  test(`overlay ${overlay} – follows the access directory, and has a tenant for trials where their key is`, async (t) => {
    const settings = await settingsOf(overlay)
    t.is(settings['access-control'], 'directory')
    const tenants = bootstrapTenants.parse(settings['bootstrap-tenants'])
    const administrators = bootstrapAdministrators.parse(settings['bootstrap-administrators'])
    const isTrial = overlay !== 'production'
    t.deepEqual(
      tenants.map(({ tenantId }) => tenantId),
      isTrial ? [localTenant] : [],
    )
    t.deepEqual(administrators, isTrial ? [{ tenantId: localTenant, userId: trialStaff }] : [])
    // A trial must not meet a limit of its tenant.
    for (const { quota } of tenants) t.deepEqual(quota, {})
  })
}

let collection: Collection | undefined
test.after.always(() => collection?.stop())

test('verify – goes the whole way with tokens of the trial key, where the access directory decides', async (t) => {
  const cluster = memoryCluster({ 'overlays/local': await readFile(join(root, renderedPath('local')), 'utf8') })
  cluster.answers.push([
    /get services.serving.knative.dev/,
    (args) => JSON.stringify({ status: { url: `http://${args[4]}.stampede.example.com` } }),
  ])
  const { context, said } = testContext(cluster, { now: () => Date.now(), sleep: (durationMs) => sleep(durationMs) })
  await init(context, { settings: [] })
  const settings = cluster.objects.get('ConfigMap/stampede')?.data ?? {}
  const identity = secretOf(cluster, 'stampede-identity')
  collection = await startCollection({
    AUTH_JWKS: identity['jwks'] ?? '',
    AUTH_ISSUER: identity['issuer'] ?? '',
    AUTH_AUDIENCE: identity['audience'] ?? '',
    CAPTCHA_SECRET: identity['captcha-secret'] ?? 'missing',
    ACCESS_CONTROL: settings['access-control'] ?? '',
    BOOTSTRAP_TENANTS: settings['bootstrap-tenants'] ?? '',
    BOOTSTRAP_ADMINISTRATORS: settings['bootstrap-administrators'] ?? '',
    TRUSTED_PROXIES: settings['trusted-proxies'] ?? '',
    CHALLENGE: 'proof-of-work',
    // A machine with other things to do: what is believed must not become old while it is.
    ACCESS_STALE_MS: '10000',
  })
  const tokenFor = await tokensFor(context, undefined)
  const options = { ingress: new URL(collection.url).host, domain: undefined, waitMs: 30_000 }
  const report = await verify(context, { ...options, tokenFor })
  t.true(report.ok, said.join('\n'))

  const call = caller(collection, await tokenFor(trialStaff, ['administrator']))
  t.deepEqual((await call('GET', `/api/v1/users/${trialStaff}/roles`)).body['roles'], ['administrator'])
  t.is((await call('GET', '/api/v1/activities', undefined, await tokenFor('somebody', []))).status, 403)
})
