import test from 'ava'
import { decodeJwt } from 'jose'
import { startStage } from './testing.ts'

const stage = await startStage()
test.after.always(() => stage.stop())

test('sign-in – registers with a code, signs in by password and by code, and every token is accepted', async (t) => {
  const { tenantId, registered, inTenant, codeFor } = stage.tenant()
  const { contact, password, tokens } = await registered()
  t.like(decodeJwt(tokens['accessToken']), {
    iss: stage.url,
    aud: 'stampede',
    tenant: tenantId,
    sub: tokens.userId,
    sid: tokens['sessionId'],
    roles: [],
  })
  const byPassword = await inTenant('sessions', { contact, password })
  t.is(byPassword.status, 201)
  const code = await codeFor(contact, 'login')
  const byCode = await inTenant('sessions', { contact, code })
  t.is(byCode.status, 201)
  t.is((await inTenant('sessions', { contact, code })).status, 401, 'a code is used once')
  const { status, body } = await stage.call('GET', '/api/v1/sessions', byCode.body['accessToken'])
  t.is(status, 200)
  t.is(body['sessions'].length, 3)
  t.is(body['sessions'].filter((one: { current: boolean }) => one.current).length, 1)
})
