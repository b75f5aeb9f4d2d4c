/** Cross-origin calls of browsers: preflights are answered here, and the answers of functions get what the configuration says. */
import type { GatewayDocument } from './document.ts'

export type Cors = {
  /** Headers of an answer to this origin, name and value by turns. */
  headersFor(origin: string | undefined): readonly string[]
  /** Headers of the answer to a preflight. */
  preflight(origin: string): readonly string[]
}

/** Undefined: no origin is let in, and nothing is said about origins. */
export function createCors(settings: GatewayDocument['cors']): Cors | undefined {
  const { origins, methods, headers, exposed, credentials, maximumAgeSeconds } = settings
  if (origins.length === 0) return undefined
  const anybody = origins.includes('*')
  // As browsers write them: no slash at the end.
  const known = new Set(origins.filter((one) => one !== '*').map((one) => new URL(one).origin))
  const common = [
    ...(credentials ? ['access-control-allow-credentials', 'true'] : []),
    ...(exposed.length > 0 ? ['access-control-expose-headers', exposed.join(', ')] : []),
  ]
  const vary = ['vary', 'origin']
  const forPreflight = [
    ...(credentials ? ['access-control-allow-credentials', 'true'] : []),
    'access-control-allow-methods',
    methods.join(', '),
    'access-control-allow-headers',
    headers.join(', '),
    'access-control-max-age',
    String(maximumAgeSeconds),
  ]
  const allowed = (origin: string): string | undefined => (anybody ? '*' : known.has(origin) ? origin : undefined)
  return {
    headersFor(origin) {
      const allow = origin === undefined ? undefined : allowed(origin)
      if (allow === undefined) return vary
      return ['access-control-allow-origin', allow, ...common, ...vary]
    },
    preflight(origin) {
      const allow = allowed(origin)
      if (allow === undefined) return vary
      return ['access-control-allow-origin', allow, ...forPreflight, ...vary]
    },
  }
}
