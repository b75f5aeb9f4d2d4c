/** The pages in a real browser: its content security policy and its form rules decide, not ours. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { withPage } from '@stampede/shared/testing/browser.ts'
import { startStage } from '../testing.ts'

const stage = await startStage()
const application = http.createServer((_request, response) => {
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end('<!doctype html><title>App</title><h1>Back in the app</h1>')
})
await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve))
const appUrl = `http://127.0.0.1:${(application.address() as AddressInfo).port}`
test.after.always(async () => {
  application.closeAllConnections()
  application.close()
  await stage.stop()
})

test('login page – a person signs in, allows it, comes back to the application, and signs out', async (t) => {
  const { registered, inTenant, tenantId, codeFor } = stage.tenant()
  const { contact, password } = await registered()
  const keeper = await registered()
  stage.permission.roles.set(keeper.tokens.userId, ['administrator'])
  const session = await inTenant('sessions', { contact: keeper.contact, password: keeper.password })
  const client = await stage.call('POST', '/api/v1/clients', session.body['accessToken'], {
    name: 'Shop',
    kind: 'browser',
    redirectUris: [`${appUrl}/callback`],
    postLogoutRedirectUris: [`${appUrl}/signed-out`],
  })
  const { clientId, issuer } = client.body as { clientId: string; issuer: string }
  const query = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    redirect_uri: `${appUrl}/callback`,
    scope: 'openid email',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  await withPage(
    async (page, errors) => {
      await page.goto(`${issuer}/auth?${query.toString()}`)
      t.is(await page.title(), 'Sign in')
      // Every field has a name for who cannot see it.
      for (const input of await page.locator('input:not([type=hidden])').all())
        t.is(await page.locator(`label[for="${await input.getAttribute('id')}"]`).count(), 1)
      const form = page.locator('form', { has: page.getByLabel('Password') })
      await form.getByLabel(/E-mail/).fill(contact.value)
      await form.getByLabel('Password').fill('wrong')
      await form.getByRole('button', { name: 'Sign in' }).click()
      await page
        .getByRole('alert')
        .getByText(/is wrong/)
        .waitFor()
      t.is(await form.getByLabel(/E-mail/).inputValue(), contact.value)
      await form.getByLabel('Password').fill(password)
      await form.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: /Allow Shop/ }).waitFor()
      await page.getByRole('button', { name: 'Allow', exact: true }).click()
      await page.getByText('Back in the app').waitFor()
      t.regex(page.url(), /callback\?code=/)

      // Signed in here, the browser is not asked again.
      await page.goto(`${issuer}/auth?${query.toString()}`)
      await page.getByText('Back in the app').waitFor()

      await page.goto(
        `${issuer}/session/end?client_id=${clientId}&post_logout_redirect_uri=${encodeURIComponent(`${appUrl}/signed-out`)}`,
      )
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByText('Back in the app').waitFor()
      t.regex(page.url(), /signed-out/)

      // And again by a code.
      await page.goto(`${issuer}/auth?${query.toString()}`)
      const send = page.locator('form', { has: page.getByRole('button', { name: 'Send me a code' }) })
      await send.getByLabel(/E-mail/).fill(contact.value)
      await send.getByRole('button').click()
      const byCode = page.locator('form', { has: page.getByLabel('Code') })
      await byCode.waitFor()
      const code = await codeFor(contact, 'login')
      await byCode.getByLabel('Code').fill(code)
      await byCode.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: /Allow Shop/ }).waitFor()
      const refused = errors.filter((error) => !/401|favicon/.test(error))
      t.deepEqual(refused, [], tenantId)
    },
    { width: 360, height: 740 },
  )
})
