import test from 'ava'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { withPage } from '@stampede/shared/testing/browser.ts'
import { livePage } from './live-page.ts'
import { overTime } from './report.ts'
import { runningActivity, startStage, type Body, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

const firstMs = Date.parse('2026-01-01T12:00:00.000Z')

/** 8 orders over 7 seconds, in pages of three. */
async function sold(name = 'Phones') {
  const made = await runningActivity(stage)
  await stage.sql.query('UPDATE activity_activities SET name = ? WHERE activity_id = ?', [name, made.activityId])
  const states = ['paid', 'paid', 'paid', 'paid', 'pending-payment', 'cancelled', 'cancelled', 'refunded']
  made.facts.orders = states.map((state, index) => ({
    orderNumber: orderNumbers(() => firstMs + index * 1_000)(),
    userId: `u${index}`,
    quantity: index === 0 ? 2 : 1,
    state,
  }))
  made.facts.totals = {
    allocated: 20,
    sold: 6,
    states: {
      paid: { orders: 4, units: 5 },
      'pending-payment': { orders: 1, units: 1 },
      cancelled: { orders: 2, units: 2 },
      refunded: { orders: 1, units: 1 },
    },
    rejected: { 'over-limit': 3 },
  }
  made.facts.live = { refused: { 'sold-out': 900, duplicate: 20 } }
  await stage.tick()
  return made
}

test('report – JSON: units, funnel, revenue, refused, sold over time', async (t) => {
  const { tenant, activityId } = await sold()
  const { status, body } = await tenant.call('GET', `/api/v1/activities/${activityId}/report`)
  t.is(status, 200)
  t.deepEqual(body['units'], { allocated: 20, sold: 6, unsold: 14, oversold: 0 })
  t.deepEqual(body['funnel'], {
    accepted: 11,
    waiting: 0,
    rejected: 3,
    stored: 8,
    pending: 1,
    paid: 4,
    cancelled: 2,
    refunded: 1,
  })
  t.is(body['revenueCents'], 5 * 19_900)
  t.deepEqual(body['refused'], { 'sold-out': 900, duplicate: 20 })
  t.deepEqual(body['rejectedByReason'], { 'over-limit': 3 })
  const points = body['soldOverTime']['points'] as Body[]
  t.is(points.at(-1)?.['cumulative'], 9)
  t.is(
    points.reduce((sum, point) => sum + (point['units'] as number), 0),
    9,
  )
  t.is(points[0]?.['at'], '2026-01-01T12:00:00.000Z')
})

test('report – CSV: one table, quoted where it must be, no formulas', async (t) => {
  const { tenant, activityId } = await sold('=HYPERLINK("http://x"), "big" phones')
  const response = await tenant.fetchAs('GET', `/api/v1/activities/${activityId}/report?format=csv`)
  t.is(response.headers.get('content-type'), 'text/csv; charset=utf-8')
  t.is(response.headers.get('content-disposition'), `attachment; filename="${activityId}.csv"`)
  const lines = (await response.text()).split('\r\n')
  t.is(lines[0], 'section,name,value,more')
  t.true(lines.includes(`activity,name,"'=HYPERLINK(""http://x""), ""big"" phones",`))
  t.true(lines.includes('units,sold,6,'))
  t.true(lines.includes('refused,sold-out,900,'))
  t.is(lines.at(-1), '')
})

test('report – unknown format: invalid request; unknown activity: not found', async (t) => {
  const { tenant, activityId } = await sold()
  t.is((await tenant.call('GET', `/api/v1/activities/${activityId}/report?format=pdf`)).status, 400)
  t.is((await tenant.call('GET', `/api/v1/activities/none/report`)).status, 404)
})

test('report – page: shows the numbers in a real browser, runs nothing, asks for nothing, markup in names is text', async (t) => {
  const { tenant, activityId } = await sold('<img src=x onerror=alert(1)> & "phones"')
  const response = await tenant.fetchAs('GET', `/api/v1/activities/${activityId}/report?format=html`)
  const policy = response.headers.get('content-security-policy') ?? ''
  t.regex(policy, /^default-src 'none'; style-src 'sha256-/)
  t.false(policy.includes('unsafe'))
  const html = await response.text()
  t.false(html.includes('<img'))
  await withPage(async (page, errors) => {
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    await page.route('**/*', (route) =>
      route.fulfill({ body: html, headers: { 'content-type': 'text/html', 'content-security-policy': policy } }),
    )
    await page.goto('http://report.test/')
    t.is(await page.locator('h1').textContent(), '<img src=x onerror=alert(1)> & "phones"')
    t.is(await page.locator('.card .number').first().textContent(), '6')
    t.true((await page.locator('svg rect').count()) > 8)
    t.is(await page.evaluate('getComputedStyle(document.querySelector("h1")).marginTop'), '0px', 'the style is let in')
    t.true(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'))
    t.true(
      await page.evaluate(
        '[...document.querySelectorAll(".number")].every((number) => number.scrollWidth <= number.clientWidth)',
      ),
      'numbers stay in their cards',
    )
    t.deepEqual(
      asked.filter((url) => !url.endsWith('favicon.ico')),
      ['http://report.test/'],
    )
    t.deepEqual(errors, [])
  })
})

test('report – nothing sold: an empty chart, not a crash', async (t) => {
  const { tenant, activityId } = await runningActivity(stage)
  const html = await (await tenant.fetchAs('GET', `/api/v1/activities/${activityId}/report?format=html`)).text()
  t.true(html.includes('Nothing was sold.'))
  t.is((await tenant.call('GET', `/api/v1/activities/${activityId}/report`)).body['funnel']['accepted'], 0)
})

test('overTime – at most 61 steps for any span, nothing lost', (t) => {
  for (const spanMs of [0, 1, 999, 6_001, 600_000, 86_400_000, 31 * 86_400_000, 400 * 86_400_000]) {
    const sales = Array.from({ length: 1_000 }, (_, index) => ({
      atMs: firstMs + Math.floor((spanMs * index) / 999),
      units: 2,
    }))
    const { points } = overTime(sales, false)
    t.true(points.length <= 62, `${spanMs}: ${points.length}`)
    t.is(points.at(-1)?.cumulative, 2_000)
  }
})

const live = (overrides: Body = {}) => ({
  activityId: 'summer',
  state: 'open',
  startsAt: new Date(Date.now() - 60_000).toISOString(),
  endsAt: new Date(Date.now() + 3_600_000).toISOString(),
  now: new Date().toISOString(),
  total: 1_000,
  left: 750,
  sold: 250,
  confirmed: 240,
  outbox: 10,
  presses: {},
  refused: { 'sold-out': 5, duplicate: 12, '<b>odd</b>': 1 },
  ratePerSecond: 4_321,
  ...overrides,
})

/** The page and the stream from one origin, as in production. */
async function serveLive(states: Body[]) {
  const { html, headers } = livePage()
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/api/v1/seckill/summer/live')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const state of states) response.write(`event: live\ndata: ${JSON.stringify(state)}\n\n`)
      return
    }
    if (request.url?.startsWith('/api/')) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, headers).end(html)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

for (const [device, viewport] of Object.entries({
  desk: { width: 1_280, height: 800 },
  phone: { width: 360, height: 740 },
})) {
  test(`live page – in a real browser, ${device}: shows the stream, nothing blocked, nothing sideways`, async (t) => {
    const server = await serveLive([live({ sold: 100, left: 900 }), live()])
    await withPage(async (page, errors) => {
      await page.goto(`${server.url}/activities/summer/live`)
      await page.waitForFunction('document.getElementById("sold").textContent === "250"')
      t.is(await page.locator('#id').textContent(), 'summer')
      t.is(await page.locator('#left').textContent(), '750')
      t.is(await page.locator('#rate').textContent(), '4,321')
      t.is(await page.locator('#stored').textContent(), '240')
      t.is(await page.locator('#lag').textContent(), '10')
      t.regex((await page.locator('#countdown').textContent()) ?? '', /^(00:59:5\d|01:00:00)$/)
      t.deepEqual(await page.locator('#refused td:first-child').allTextContents(), [
        'already bought',
        'sold out',
        '<b>odd</b>',
      ])
      t.is(
        await page.locator('#meter').evaluate((bar) => (bar as unknown as { style: { width: string } }).style.width),
        '25%',
      )
      const inked = await page.evaluate(
        `(() => { const canvas = document.getElementById('chart'); const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; return pixels.some((value) => value > 0) })()`,
      )
      t.true(inked)
      t.true(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'))
      t.deepEqual(
        errors.filter((error) => !error.includes('favicon')),
        [],
      )
    }, viewport)
    server.stop()
  })
}

test('live page – no such sale: says so', async (t) => {
  const server = await serveLive([])
  await withPage(async (page) => {
    await page.goto(`${server.url}/activities/other/live`)
    await page.waitForFunction('document.getElementById("state").textContent === "no such sale"')
    t.pass()
  })
  server.stop()
})

test('live page – for everybody, strict policy, from the function itself', async (t) => {
  const response = await fetch(`${stage.host.url}/activities/summer/live`)
  t.is(response.status, 200)
  t.is(response.headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = response.headers.get('content-security-policy') ?? ''
  t.regex(policy, /default-src 'none'.*script-src 'sha256-[^']+'; connect-src 'self'.*frame-ancestors 'none'/)
  t.false(policy.includes('unsafe'))
  t.false(/https?:\/\//.test(await response.text()), 'nothing from outside')
  t.is((await fetch(`${stage.host.url}/activities/${encodeURIComponent('<x>')}/live`)).status, 400)
})
