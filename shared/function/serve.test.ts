/** What serving tells about itself, documents and metrics, and what it refuses at its start. */
import test from 'ava'
import { ConfigurationError } from '../config/environment.ts'
import { environment, serveProbe, started } from './serve-client.fixture.ts'
import { createProbe } from './serve.fixture.ts'
import { serve } from './serve.ts'

const shared = await serveProbe()
const { call } = shared
test.after.always(() => shared.stop())

test('OpenAPI – has every route with its parameters, caller, schemas and problems', async (t) => {
  const { body } = await call('/openapi.json')
  t.is(body.openapi, '3.1.0')
  const put = body.paths['/probe/items/{itemId}'].put
  t.like(put.parameters[0], { name: 'itemId', in: 'path', required: true })
  t.is(put.parameters[0].schema.pattern, '^[a-z0-9-]+$')
  t.deepEqual(put.requestBody.content['application/json'].schema.required, ['name', 'count'])
  t.truthy(put.responses['200'].content['application/json'].schema.properties.name)
  t.truthy(put.responses['413'])
  t.deepEqual(body.paths['/probe/internal'].get.security, [{ serviceToken: [] }])
  t.truthy(body.paths['/probe/hot/{itemId}/press'].post)
  const remove = body.paths['/probe/items/{itemId}'].delete
  t.like(remove, { 'x-auth': 'staff', 'x-permission': 'stocks.manage', security: [{ accessToken: [] }] })
  t.regex(remove.responses['403'].description, /`forbidden`.*`tenant-suspended`/)
  t.truthy(remove.responses['401'] && remove.responses['503'])
  t.is(put['x-permission'], undefined)
  t.is(
    body.paths['/probe/items/{itemId}'].get.parameters.find((own: { in: string }) => own.in === 'query').name,
    'limit',
  )
})

test('metrics – count ordinary routes by pattern and status, hot ones by number, and the process', async (t) => {
  const { url: base } = await started(t)
  await call('/probe/items/secret-id', { base })
  await call('/nowhere/secret-id', { base })
  await call('/probe/hot/a', { base })
  await call('/probe/hot/b', { base })
  const { text } = await call('/metrics', { base })
  t.regex(text, /http_request_duration_seconds_count\{method="GET",route="\/probe\/items\/:itemId",status="200"\} 1/)
  t.regex(text, /route="unknown",status="404"/)
  t.regex(text, /http_hot_requests_total\{route="\/probe\/hot\/:itemId",method="GET"\} 2/)
  t.regex(text, /nodejs_eventloop_lag_seconds/)
  t.notRegex(text, /secret-id/)
})

test('configuration – all problems are said at once, in words, without values', async (t) => {
  const error = await t.throwsAsync(
    serve([shared.definition], { environment: { PORT: 'eighty', SERVICE_SECRET: 'hunter2', AUTH_JWKS: 'hunter2' } }),
    { instanceOf: ConfigurationError },
  )
  const text = error.message
  for (const part of [/PORT/, /SERVICE_SECRET: has fewer than 32/, /AUTH_JWKS: is not a JSON Web Key Set/])
    t.regex(text, part)
  t.notRegex(text, /hunter2|eighty/)
  const absent = await t.throwsAsync(serve([shared.definition], { environment: {} }), {
    instanceOf: ConfigurationError,
  })
  for (const part of [/AUTH_JWKS .*AUTH_JWKS_URL is not set/, /AUTH_ISSUER/, /AUTH_AUDIENCE/, /SERVICE_SECRET/])
    t.regex(absent.message, part)
  t.regex(absent.message, /REDIS_URL is not set .*ACCESS_CONTROL=built-in/)
})

test('declarations – the same route twice is refused at start', async (t) => {
  const [one, two] = [createProbe('same'), createProbe('same')]
  await t.throwsAsync(serve([one.definition, two.definition], { port: 0, environment }), { message: /declared twice/ })
})
