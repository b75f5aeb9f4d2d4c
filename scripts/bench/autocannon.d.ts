/** The part of autocannon that is used here; it comes without types. */
declare module 'autocannon' {
  type Request = { method: string; path: string; body?: string; headers?: Record<string, string> }
  type Options = {
    url: string
    connections: number
    duration: number
    /** Requests a second of all connections. */
    overallRate?: number
    timeout: number
    requests: (Request & { setupRequest?: (request: Request) => Request })[]
  }
  type Result = {
    duration: number
    requests: { total: number }
    latency: { p50: number; p97_5: number; p99: number }
    errors: number
    timeouts: number
    non2xx: number
  }
  const autocannon: (options: Options) => Promise<Result> & { stop(): void }
  export default autocannon
}
