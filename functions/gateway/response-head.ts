/** The headers of an answer on their way to the client. */

/** Hop-by-hop; what this gateway says itself; what is nobody's business outside. */
const dropped = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'server',
  'x-powered-by',
  'x-request-id',
  'ratelimit',
  'ratelimit-policy',
])
const droppedPrefixes = ['access-control-', 'x-envoy-', 'k-', 'ce-']
/** By name; its size has a limit. */
const decided = new Map<string, boolean>()
const maximumDecided = 2_000

function goesOut(name: string): boolean {
  const known = decided.get(name)
  if (known !== undefined) return known
  const goes = !dropped.has(name) && !droppedPrefixes.some((prefix) => name.startsWith(prefix))
  if (decided.size < maximumDecided) decided.set(name, goes)
  return goes
}

/** Name and value by turns; `headers` has its names in lower case. */
export function outgoingHeaders(headers: Record<string, string | string[] | undefined>): string[] {
  const connection = headers['connection']
  const named =
    connection === undefined || connection === 'keep-alive' || connection === 'close' ? undefined : namesIn(connection)
  const outgoing: string[] = []
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined || !goesOut(name) || named?.has(name)) continue
    if (typeof value === 'string') outgoing.push(name, value)
    else for (const one of value) outgoing.push(name, one)
  }
  return outgoing
}

function namesIn(connection: string | string[]): Set<string> {
  return new Set(
    String(connection)
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
}
