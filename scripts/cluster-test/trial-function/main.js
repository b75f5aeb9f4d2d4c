// A small function for trials on a cluster: it answers well, or every request with an error, as `behaviour.json` beside it says.
// Plain JavaScript without packages, so that its image is made of this folder alone.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const { version, fails } = JSON.parse(readFileSync(new URL('./behaviour.json', import.meta.url), 'utf8'))
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const counts = new Map()

const server = createServer((request, response) => void answer(request, response))

async function answer(request, response) {
  const url = new URL(request.url ?? '/', 'http://trial')
  if (url.pathname === '/metrics' || url.pathname.startsWith('/health/')) {
    response.end(url.pathname === '/metrics' ? metrics() : 'ok')
    return
  }
  const beganMs = performance.now()
  const delayMs = Math.min(Number(url.searchParams.get('ms') ?? 0), 60_000)
  if (delayMs > 0) await sleep(delayMs)
  const status = fails ? 500 : 200
  response.writeHead(status, { 'content-type': 'application/json', 'x-trial-version': version })
  response.end(JSON.stringify({ version, pod: process.env.HOSTNAME }))
  count(status, (performance.now() - beganMs) / 1_000)
}

function count(status, seconds) {
  const entry = counts.get(status) ?? { total: 0, sum: 0, buckets: bounds.map(() => 0) }
  entry.total += 1
  entry.sum += seconds
  for (const [index, bound] of bounds.entries()) if (seconds <= bound) entry.buckets[index] += 1
  counts.set(status, entry)
}

/** The same names as the functions of the platform have. */
function metrics() {
  const name = 'http_request_duration_seconds'
  const lines = [`# TYPE ${name} histogram`]
  for (const [status, { total, sum, buckets }] of counts) {
    for (const [index, bound] of bounds.entries())
      lines.push(`${name}_bucket{status="${status}",le="${bound}"} ${buckets[index]}`)
    lines.push(`${name}_bucket{status="${status}",le="+Inf"} ${total}`)
    lines.push(`${name}_sum{status="${status}"} ${sum}`, `${name}_count{status="${status}"} ${total}`)
  }
  return `${lines.join('\n')}\n`
}

server.listen(Number(process.env.PORT ?? 8080), () => console.log(`trial ${version} listens`))
process.once('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
