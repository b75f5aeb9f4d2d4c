/**
 * The sale as it runs, as one self-contained page. It knows nothing but the activity's id, which it reads from its own address:
 * everything shown comes from the public live stream of seckill, as text, never as markup.
 */
import { pageHeaders, theme } from './page.ts'

const style = `${theme}
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline; justify-content: space-between; }
#countdown { font-size: clamp(2.2rem, 9vw, 4.5rem); font-weight: 800; letter-spacing: -.03em; line-height: 1; margin: .5rem 0 1rem; }
#state[data-state="open"] { color: var(--good); } #state[data-state="closed"], #state[data-state="over"] { color: var(--soft); }
#state[data-state="paused"], #state[data-state="rebuilding"], #state[data-state="offline"] { color: var(--bad); }
.meter { height: 14px; border-radius: 99px; background: var(--line); overflow: hidden; margin-top: .5rem; }
.meter span { display: block; height: 100%; width: 0; background: linear-gradient(90deg, var(--accent), var(--cool)); transition: width .6s; }
canvas { display: block; width: 100%; height: 220px; }
#refused td:last-child { text-align: right; padding-right: 0; font-weight: 600; }
@media (prefers-reduced-motion: reduce) { .meter span { transition: none; } }
`

// Plain script for browsers: no template values inside, so that its hash is the same for every activity.
const script = `
'use strict'
const $ = (id) => document.getElementById(id)
const format = new Intl.NumberFormat()
const parts = location.pathname.split('/').filter(Boolean)
const activityId = decodeURIComponent(parts[parts.indexOf('activities') + 1] || '')
const points = []
const maximumPoints = 600
let last
let offsetMs = 0
const names = { 'sold-out': 'sold out', 'not-started': 'too early', duplicate: 'already bought', 'over-limit': 'over the limit', insufficient: 'not enough left',
  ended: 'too late', paused: 'paused', closed: 'closed', recovering: 'recovering', overloaded: 'overloaded', unauthenticated: 'without a token' }
function two(number) { return String(number).padStart(2, '0') }
function duration(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const days = Math.floor(seconds / 86400)
  return (days > 0 ? days + 'd ' : '') + two(Math.floor(seconds / 3600) % 24) + ':' + two(Math.floor(seconds / 60) % 60) + ':' + two(seconds % 60)
}
function tick() {
  if (!last) return
  const now = Date.now() + offsetMs
  const starts = Date.parse(last.startsAt), ends = Date.parse(last.endsAt)
  const closed = last.state === 'closed' || now >= ends
  $('countdown').textContent = closed ? 'Over' : duration((now < starts ? starts : ends) - now)
  $('until').textContent = closed ? 'the sale has ended' : now < starts ? 'until the sale begins' : 'until the sale ends'
}
function show(sale) {
  last = sale
  offsetMs = Date.parse(sale.now) - Date.now()
  const started = Date.parse(sale.now) >= Date.parse(sale.startsAt), over = Date.parse(sale.now) >= Date.parse(sale.endsAt)
  const state = sale.state === 'open' ? (over ? 'over' : started ? 'open' : 'soon') : sale.state
  $('state').textContent = sale.left <= 0 && state === 'open' ? 'sold out' : state
  $('state').dataset.state = state
  $('sold').textContent = format.format(sale.sold)
  $('total').textContent = 'of ' + format.format(sale.total)
  $('left').textContent = format.format(Math.max(0, sale.left))
  $('rate').textContent = format.format(sale.ratePerSecond)
  $('stored').textContent = format.format(sale.confirmed)
  const lag = [format.format(sale.outbox) + ' wait for Kafka']
  if (typeof sale.kafkaLag === 'number') lag.push(format.format(sale.kafkaLag) + ' in Kafka')
  $('lag').textContent = format.format(sale.outbox + (sale.kafkaLag || 0))
  $('lagNote').textContent = lag.join(', ')
  const share = sale.total > 0 ? Math.min(100, (100 * sale.sold) / sale.total) : 0
  $('meter').style.width = share + '%'
  $('meter').parentElement.setAttribute('aria-valuenow', String(Math.round(share)))
  const rows = Object.entries(sale.refused).sort((one, other) => other[1] - one[1])
  $('refused').replaceChildren(...(rows.length ? rows : [['none', 0]]).map(([reason, count]) => {
    const row = document.createElement('tr')
    for (const text of [names[reason] || reason, format.format(count)]) row.appendChild(document.createElement('td')).textContent = text
    return row
  }))
  points.push({ at: Date.parse(sale.now), sold: sale.sold, rate: sale.ratePerSecond })
  if (points.length > maximumPoints) points.shift()
  tick()
  draw()
}
function draw() {
  const canvas = $('chart')
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1
  canvas.width = width * scale
  canvas.height = height * scale
  const context = canvas.getContext('2d')
  context.scale(scale, scale)
  const colour = getComputedStyle(document.documentElement)
  const token = (name) => colour.getPropertyValue(name).trim()
  context.strokeStyle = token('--line')
  for (let line = 1; line <= 4; line++) {
    const y = Math.round((line * (height - 24)) / 4) + 0.5
    context.beginPath(); context.moveTo(0, y); context.lineTo(width, y); context.stroke()
  }
  if (points.length < 2) return
  const from = points[0].at, until = points[points.length - 1].at
  const x = (point) => ((point.at - from) / Math.max(1, until - from)) * width
  const line = (field, highest, name) => {
    context.beginPath()
    points.forEach((point, index) => {
      const y = (height - 24) * (1 - point[field] / highest) + 2
      if (index === 0) context.moveTo(x(point), y); else context.lineTo(x(point), y)
    })
    context.strokeStyle = token(name)
    context.lineWidth = 2.5
    context.lineJoin = 'round'
    context.stroke()
  }
  line('sold', Math.max(1, last.total), '--accent')
  line('rate', Math.max(1, ...points.map((point) => point.rate)), '--cool')
  context.fillStyle = token('--soft')
  context.font = '12px system-ui, sans-serif'
  context.fillText(new Date(from).toLocaleTimeString(), 0, height - 4)
  const label = new Date(until).toLocaleTimeString()
  context.fillText(label, width - context.measureText(label).width, height - 4)
}
$('id').textContent = activityId
document.title = activityId + ' – live'
const stream = new EventSource('/api/v1/seckill/' + encodeURIComponent(activityId) + '/live' + location.search)
stream.addEventListener('live', (event) => show(JSON.parse(event.data)))
stream.onmessage = (event) => show(JSON.parse(event.data))
stream.onerror = () => {
  $('state').textContent = stream.readyState === 2 ? 'no such sale' : 'connecting again'
  $('state').dataset.state = 'offline'
}
setInterval(tick, 250)
addEventListener('resize', () => last && draw())
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => last && draw())
`

const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Live</title><style>${style}</style></head><body><main>
<header><h1 id="id"></h1><span class="badge" id="state" data-state="offline" role="status">connecting</span></header>
<div id="countdown" role="timer">–</div><div class="soft" id="until">&nbsp;</div>
<div class="grid">
<div class="card"><h2>Sold</h2><div class="number" id="sold">–</div><div class="soft" id="total">&nbsp;</div><div class="meter" role="meter" aria-label="Share sold" aria-valuemin="0" aria-valuemax="100"><span id="meter"></span></div></div>
<div class="card"><h2>Left</h2><div class="number" id="left">–</div></div>
<div class="card"><h2>Presses a second</h2><div class="number" id="rate">–</div></div>
<div class="card"><h2>Orders stored</h2><div class="number" id="stored">–</div></div>
<div class="card"><h2>On their way</h2><div class="number" id="lag">–</div><div class="soft" id="lagNote">&nbsp;</div></div>
</div>
<div class="wide">
<section class="card"><h2>Sold (orange) and presses a second (blue)</h2><canvas id="chart" role="img" aria-label="Units sold and presses a second over time"></canvas></section>
<section class="card"><h2>Refused</h2><table><tbody id="refused"></tbody></table></section>
</div>
<noscript><p>This page needs JavaScript.</p></noscript>
</main><script>${script}</script></body></html>
`

/** The same bytes for every activity. */
export function livePage(): { html: string; headers: Record<string, string> } {
  return { html, headers: pageHeaders({ style, script }) }
}
