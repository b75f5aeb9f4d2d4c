/** The OpenAPI 3.1 document of one or many functions, made from the declarations alone. */
import { z } from 'zod'
import { problemCodes } from '../http/problem.ts'
import type { ProblemCode } from '../http/problem.ts'
import type { AnyFunction, HotRoute, Route, RouteAuth } from './declaration.ts'

type Json = Record<string, unknown>

export type OpenApiOptions = { title?: string; version?: string; description?: string }

const security: Record<RouteAuth, Json[]> = {
  public: [],
  user: [{ accessToken: [] }],
  staff: [{ accessToken: [] }],
  service: [{ serviceToken: [] }],
}

/** A token that comes with a public request must be right, too. */
const refusals: Record<RouteAuth, readonly ProblemCode[]> = {
  public: ['unauthenticated', 'tenant-suspended', 'dependency-unavailable'],
  user: ['unauthenticated', 'forbidden', 'tenant-suspended', 'dependency-unavailable'],
  staff: ['unauthenticated', 'forbidden', 'tenant-suspended', 'dependency-unavailable'],
  service: ['unauthenticated', 'forbidden', 'dependency-unavailable'],
}

const commonProblems: readonly ProblemCode[] = ['invalid-request', 'internal', 'overloaded']

/** A plain object that can be written as JSON. */
export function openApiOf(definitions: readonly AnyFunction[], options: OpenApiOptions = {}): Json {
  const schemas: Json = { Problem: problemSchema }
  const paths: Record<string, Json> = {}
  for (const definition of definitions) {
    for (const route of definition.routes) {
      const path = route.path.replaceAll(/:([a-zA-Z][a-zA-Z0-9]*)/g, '{$1}')
      const item = (paths[path] ??= {})
      item[route.method.toLowerCase()] = operationOf(definition, route, schemas)
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: options.title ?? 'Stampede',
      version: options.version ?? '1',
      description:
        options.description ?? definitions.map(({ name, summary }) => `**${name}**: ${summary}`).join('\n\n'),
    },
    tags: definitions.map(({ name, summary }) => ({ name, description: summary })),
    paths,
    ...mountsOf(definitions),
    components: {
      schemas,
      securitySchemes: {
        accessToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'Access token of a person (ES256 or EdDSA).',
        },
        serviceToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'Token of another function (HS256).',
        },
      },
    },
  }
}

/** Mounted libraries have documents of their own. */
function mountsOf(definitions: readonly AnyFunction[]): Json {
  const mounts = definitions.flatMap(({ name, mounts: own = [] }) =>
    own.map(({ prefix, options }) => ({ function: name, prefix, auth: options.auth, summary: options.summary })),
  )
  return mounts.length === 0 ? {} : { 'x-mounts': mounts }
}

function operationOf(definition: AnyFunction, route: Route<unknown> | HotRoute<unknown>, schemas: Json): Json {
  const { options, method, path } = route
  const operationId = `${definition.name}-${method.toLowerCase()}${path.replaceAll(/[/:]+/g, '-')}`
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output') => jsonSchema(schema, io, operationId, schemas)
  const status = options.status ?? (options.reply || options.mediaTypes || route.kind === 'hot-route' ? 200 : 204)
  const declared = new Set([
    ...commonProblems,
    ...refusals[options.auth],
    // What a path names may not be there.
    ...(path.includes('/:') ? (['not-found'] as const) : []),
    ...(options.body ? (['payload-too-large', 'unsupported-media-type', 'request-timeout'] as const) : []),
    ...(options.problems ?? []),
  ])
  return {
    operationId,
    tags: [definition.name],
    summary: options.summary,
    security: security[options.auth],
    'x-auth': options.auth,
    ...(options.permission === undefined ? {} : { 'x-permission': options.permission }),
    parameters: [...pathParameters(route, schemaOf), ...queryParameters(options.query, schemaOf)],
    ...(options.body
      ? {
          requestBody: { required: true, content: { 'application/json': { schema: schemaOf(options.body, 'input') } } },
        }
      : {}),
    responses: {
      [status]: {
        description: 'Success.',
        ...(options.reply || options.mediaTypes
          ? {
              content: {
                ...(options.reply ? { 'application/json': { schema: schemaOf(options.reply, 'output') } } : {}),
                ...Object.fromEntries((options.mediaTypes ?? []).map((type) => [type, {}])),
              },
            }
          : {}),
      },
      ...problemResponses(declared),
    },
  }
}

type SchemaOf = (schema: z.ZodType, io: 'input' | 'output') => Json

function pathParameters(route: Route<unknown> | HotRoute<unknown>, schemaOf: SchemaOf): Json[] {
  const known = route.options.params ? propertiesOf(schemaOf(route.options.params, 'input')) : {}
  return [...route.path.matchAll(/:([a-zA-Z][a-zA-Z0-9]*)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: known[name] ?? { type: 'string' },
  }))
}

function queryParameters(query: z.ZodType | undefined, schemaOf: SchemaOf): Json[] {
  if (!query) return []
  const schema = schemaOf(query, 'input')
  const required = new Set((schema['required'] as string[] | undefined) ?? [])
  return Object.entries(propertiesOf(schema)).map(([name, own]) => ({
    name,
    in: 'query',
    required: required.has(name),
    schema: own,
  }))
}

function propertiesOf(schema: Json): Record<string, Json> {
  return (schema['properties'] as Record<string, Json> | undefined) ?? {}
}

/** JSON Schema 2020-12, as OpenAPI 3.1 takes it; shared definitions move to the document's components. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output', prefix: string, schemas: Json): Json {
  const { $schema: _, $defs, ...own } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
  if (!$defs) return own
  const moved = <T>(value: T): T =>
    JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', `"#/components/schemas/${prefix}.`)) as T
  for (const [name, definition] of Object.entries($defs)) schemas[`${prefix}.${name}`] = moved(definition)
  return moved(own)
}

function problemResponses(codes: ReadonlySet<ProblemCode>): Json {
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) {
    const { status } = problemCodes[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, own]) => [
        status,
        {
          description: own.map((code) => `\`${code}\`: ${problemCodes[code].title}.`).join(' '),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]),
  )
}

const problemSchema: Json = {
  type: 'object',
  description: 'Problem details (RFC 9457).',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string', examples: ['urn:stampede:problem:invalid-request'] },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(problemCodes) },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { pointer: { type: 'string' }, detail: { type: 'string' } } },
    },
  },
}
