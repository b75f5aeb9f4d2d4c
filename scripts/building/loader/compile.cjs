// Makes the compile cache that `main.js` starts with: runs the function with an environment that leads nowhere, asks it what a
// first request asks, and keeps the code that V8 has compiled by then. Run it again wherever the version of Node differs.
const { rmSync, statSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const path = require('node:path')

const nowhere = '127.0.0.1:9'
const url = `http://${nowhere}`
const noKey = (seed) => `none:${Buffer.from(Array.from({ length: 32 }, (_, index) => seed * index)).toString('base64')}`
const environment = {
  HOST: '127.0.0.1',
  LOG_LEVEL: 'silent',
  REDIS_URL: `redis://${nowhere}`,
  DATABASE_URL: `mysql://nobody:nothing@${nowhere}/nothing`,
  KAFKA_BROKERS: nowhere,
  K_SINK: url,
  ACTIVITY_URL: url,
  SECKILL_URL: url,
  ORDER_URL: url,
  INVENTORY_URL: url,
  PERMISSION_URL: url,
  AUTH_JWKS: '{"keys":[]}',
  AUTH_ISSUER: url,
  AUTH_AUDIENCE: 'nobody',
  SERVICE_SECRET: 'not a secret: nobody is asked, nobody answers',
  EVENT_AUTHENTICATION: 'token',
  // Tracing is on where it matters; its code is a fifth of what a start then needs.
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  PASS_KEYS: `none:${Buffer.alloc(32, 1).toString('base64')}`,
  DATA_KEYS: noKey(1),
  INDEX_KEY: noKey(2),
  AUDIT_KEY: noKey(3),
}
const startTimeoutMs = 20_000
/** Readiness waits for Redis and the database, which are not there: whatever is said by then will do. */
const answerTimeoutMs = 500
const requests = [
  ['GET', '/health/readiness'],
  ['GET', '/metrics'],
  ['GET', '/openapi.json'],
  ['POST', '/'],
  ['GET', '/nothing'],
]

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function answers(port, method, address) {
  const signal = AbortSignal.timeout(answerTimeoutMs)
  try {
    const response = await fetch(`http://127.0.0.1:${port}${address}`, { method, signal })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

async function ask(port) {
  const untilMs = Date.now() + startTimeoutMs
  while (!(await answers(port, 'GET', '/health/liveness'))) {
    if (Date.now() > untilMs) throw new Error(`it does not answer within ${startTimeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (const [method, address] of requests) await answers(port, method, address)
}

async function compile() {
  const port = await freePort()
  Object.assign(process.env, environment, { PORT: String(port) })
  delete process.env.AUTH_JWKS_URL
  rmSync(path.join(__dirname, `function-${process.version}-${process.arch}.cache`), { force: true })
  const { script, cacheFile } = require('./main.js')
  await ask(port)
  writeFileSync(cacheFile, script.createCachedData())
  console.log(`compile cache for Node ${process.version}: ${Math.round(statSync(cacheFile).size / 1_024)} KiB`)
  process.exit(0)
}

compile().catch((error) => {
  console.error(`The compile cache could not be made: ${error.message}`)
  process.exit(1)
})
