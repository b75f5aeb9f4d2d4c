// Makes the compile cache that `main.js` starts with: runs the function with an environment that leads nowhere, asks it what a
// first request asks, and keeps the code that V8 has compiled by then. Run it again wherever the version of Node differs.
const { rmSync, statSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const path = require('node:path')

const nowhere = '127.0.0.1:9'
const url = `http://${nowhere}`
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
  AUTH_JWKS: '{"keys":[]}',
  AUTH_ISSUER: url,
  AUTH_AUDIENCE: 'nobody',
  SERVICE_SECRET: 'not a secret: nobody is asked, nobody answers',
  EVENT_AUTHENTICATION: 'token',
  PASS_KEYS: `none:${Buffer.alloc(32, 1).toString('base64')}`,
}
/** Not waited for longer: a probe asks Redis and the database, which are not there. */
const timeoutMs = 5_000
const requests = [
  ['GET', '/health/liveness'],
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

async function ask(port) {
  const until = Date.now() + timeoutMs
  for (const [method, address] of requests) {
    while (Date.now() < until) {
      const answer = await fetch(`http://127.0.0.1:${port}${address}`, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
      })
        .then((response) => response.text())
        .catch(() => undefined)
      if (answer !== undefined) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    if (Date.now() >= until) throw new Error(`no answer to ${method} ${address}`)
  }
}

async function compile() {
  const port = await freePort()
  Object.assign(process.env, environment, { PORT: String(port) })
  for (const name of ['AUTH_JWKS_URL', 'OTEL_EXPORTER_OTLP_ENDPOINT']) delete process.env[name]
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
