/** The development outbox as a page: it asks for a staff token and shows what would have been sent. */
import { createHash } from 'node:crypto'

const style = `
:root { color-scheme: light dark; --ink: #16181d; --soft: #5c6370; --paper: #f6f5f2; --card: #fff; --line: #d5d2ca; --accent: #b93d0a; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef2; --soft: #9aa3b2; --paper: #111318; --card: #1a1d24; --line: #2b303a; --accent: #ff922b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: clamp(1rem, 3vw, 2.5rem); }
h1 { margin: 0; } p { margin: .25rem 0; } .soft { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; align-items: end; }
label { flex: 1 1 16rem; } input { display: block; width: 100%; font: inherit; padding: .5rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); color: inherit; }
button { font: inherit; padding: .5rem 1rem; border: 0; border-radius: 8px; background: var(--accent); color: var(--paper); cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem; margin: .75rem 0; }
h2 { font-size: 1rem; margin: 0; }
`
const script = `
'use strict'
const element = (id) => document.getElementById(id)
function line(parent, tag, text, name) {
  const made = document.createElement(tag)
  made.textContent = text
  if (name) made.className = name
  parent.append(made)
}
async function show() {
  const says = element('says')
  says.textContent = 'Asking …'
  const response = await fetch('/api/v1/notifications/outbox', { headers: { authorization: 'Bearer ' + element('token').value.trim() } }).catch(() => undefined)
  const answer = await response?.json().catch(() => undefined)
  element('messages').replaceChildren()
  if (!response?.ok) { says.textContent = answer?.detail || 'There is no answer. Is the platform up?'; return }
  says.textContent = answer.messages.length === 0 ? 'No message in the last hour.' : answer.messages.length + ' in the last hour, the newest first.'
  for (const message of answer.messages) {
    const article = document.createElement('article')
    line(article, 'h2', message.subject)
    line(article, 'p', message.body)
    line(article, 'p', message.channel + ' to ' + message.recipient + ' · ' + new Date(message.receivedAt).toLocaleTimeString(), 'soft')
    element('messages').append(article)
  }
}
element('ask').addEventListener('submit', (event) => { event.preventDefault(); void show() })
`
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

export const outboxPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Messages that were not sent</title><style>${style}</style></head>
<body><main><h1>Messages that were not sent</h1>
<p class="soft">The development outbox keeps for an hour what would go out as e-mail or text message.</p>
<form id="ask"><label>Access token of staff who may read notifications<input id="token" type="password" autocomplete="off" required></label>
<button>Show</button></form>
<p id="says" role="status"></p><div id="messages"></div></main><script>${script}</script></body></html>
`

export const outboxPageHeaders: Record<string, string> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${hashOf(script)}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
}
