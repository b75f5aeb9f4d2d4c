/**
 * `functions/gateway/generated/`: `routes.json` has everything that may be called from outside, from the declarations. Routes for other
 * functions are not in it, so the gateway does not know them. `openapi.json` describes them. `configuration.schema.json` is the schema of its configuration document.
 */
import { z } from 'zod'
import { gatewayDocument } from '../../functions/gateway/document.ts'
import type { AnyFunction, HotRoute, Mount, Route } from '@stampede/shared/function/declaration.ts'
import { openApiOf } from '@stampede/shared/function/openapi.ts'
import type { GeneratedFile } from './files.ts'

type AnyRoute = Route<unknown> | HotRoute<unknown>

const defaultBodyLimitBytes = 65_536
const defaultTimeoutMs = 10_000

export function generateGatewayRoutes(functions: readonly AnyFunction[]): GeneratedFile[] {
  const outside = functions.filter(({ fallback }) => !fallback)
  const routes = outside.flatMap((definition) =>
    (definition.routes as readonly AnyRoute[])
      .filter(({ options }) => options.auth !== 'service')
      .map((route) => routeOf(definition, route)),
  )
  refuseTwice(routes)
  const mounts = outside.flatMap((definition) =>
    ((definition.mounts ?? []) as readonly Mount<unknown>[]).map(({ prefix }) => ({
      prefix,
      function: definition.name,
      bodyLimitBytes: defaultBodyLimitBytes,
      timeoutMs: defaultTimeoutMs,
    })),
  )
  const content = `${JSON.stringify({ functions: outside.map(({ name }) => name).sort(), routes, mounts }, undefined, 2)}\n`
  const forPeople = outside.map((definition) => ({
    ...definition,
    routes: definition.routes.filter(({ options }) => options.auth !== 'service'),
  }))
  const openApi = `${JSON.stringify(openApiOf(forPeople))}\n`
  const schema = z.toJSONSchema(gatewayDocument.safeExtend({ version: z.union([z.string(), z.int()]) }), {
    io: 'input',
  })
  return [
    { path: 'functions/gateway/generated/routes.json', content },
    { path: 'functions/gateway/generated/openapi.json', content: openApi },
    {
      path: 'functions/gateway/generated/configuration.schema.json',
      content: `${JSON.stringify({ title: 'The document gateway', ...schema }, undefined, 2)}\n`,
    },
  ]
}

function routeOf({ name }: AnyFunction, { method, path, options }: AnyRoute) {
  return {
    method,
    path,
    function: name,
    auth: options.auth,
    ...(options.permission === undefined ? {} : { permission: options.permission }),
    // What a GET sends as a body nobody reads.
    bodyLimitBytes: method === 'GET' ? 0 : (options.bodyLimitBytes ?? defaultBodyLimitBytes),
    timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
    ...(options.mediaTypes?.includes('text/event-stream') ? { streams: true } : {}),
  }
}

/** Two functions at one address would be no harm to either, and to the gateway. */
function refuseTwice(routes: readonly { method: string; path: string; function: string }[]): void {
  const owners = new Map<string, string>()
  for (const { method, path, function: name } of routes) {
    const address = `${method} ${path.replaceAll(/:[a-zA-Z0-9]+/g, ':')}`
    const other = owners.get(address)
    if (other !== undefined) throw new Error(`${method} ${path} is declared by ${other} and by ${name}`)
    owners.set(address, name)
  }
}
