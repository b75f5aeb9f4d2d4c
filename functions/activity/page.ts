/** What the pages of activity share: escaping, colours, and a content security policy that lets nothing in from outside. */
import { createHash } from 'node:crypto'

export function escapeHtml(value: unknown): string {
  return String(value)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

export const theme = `
:root { color-scheme: light dark; --ink: #16181d; --soft: #5c6370; --paper: #f6f5f2; --card: #ffffff; --line: #e3e1db;
  --accent: #d9480f; --good: #2b8a3e; --bad: #c92a2a; --cool: #1c7ed6; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef2; --soft: #9aa3b2; --paper: #111318; --card: #1a1d24; --line: #2b303a;
  --accent: #ff922b; --good: #51cf66; --bad: #ff6b6b; --cool: #4dabf7; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 70rem; margin: 0 auto; padding: clamp(1rem, 3vw, 2.5rem); }
h1 { font-size: clamp(1.5rem, 4vw, 2.4rem); line-height: 1.15; margin: 0 0 .25rem; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .75rem; color: var(--soft); font-weight: 600; }
.card { min-width: 0; container-type: inline-size; background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.1rem 1.25rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(9.5rem, 100%), 1fr)); margin: 1rem 0; }
.wide { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); margin: 1rem 0; }
.number { font-size: clamp(1.25rem, 15cqi, 2.3rem); overflow-wrap: anywhere; font-weight: 700; line-height: 1.1; letter-spacing: -.02em; }
.soft { color: var(--soft); font-size: .875rem; }
.badge { display: inline-block; padding: .15rem .7rem; border-radius: 99px; border: 1px solid var(--line); font-size: .875rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td, th { text-align: left; padding: .35rem .5rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.right, th.right { text-align: right; padding-right: 0; }
svg { display: block; width: 100%; height: auto; }
`

/** `'sha256-…'` of an inline style or script, exactly as it stands between its tags. */
export const sourceHash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

export function pageHeaders(options: { style: string; script?: string }): Record<string, string> {
  const policy = [
    "default-src 'none'",
    `style-src ${sourceHash(options.style)}`,
    ...(options.script === undefined ? [] : [`script-src ${sourceHash(options.script)}`, "connect-src 'self'"]),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  }
}
