/** The pages that people see while an application signs them in: plain forms, no scripts, nothing from elsewhere. */
import { createHash } from 'node:crypto'

export type Page = {
  html: string
  /** Where the page's form may lead, beside this server: browsers look at redirects after a form, too. */
  formTargets: readonly string[]
}

const style = `
:root { color-scheme: light dark; --ink: #16181d; --soft: #5c6370; --paper: #f6f5f2; --card: #fff; --line: #8a8f99; --accent: #b93d0a; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef2; --soft: #a5adba; --paper: #111318; --card: #1a1d24; --line: #727a88; --accent: #ff922b; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: clamp(1rem, 6vw, 4rem) 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 1rem; } .soft { color: var(--soft); }
.bad { color: var(--bad); border-left: 4px solid var(--bad); padding-left: .75rem; }
form { display: grid; gap: .75rem; } label { display: grid; gap: .25rem; font-weight: 600; }
input { font: inherit; padding: .6rem .7rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); color: inherit; width: 100%; }
button { font: inherit; font-weight: 600; padding: .6rem 1rem; border: 1px solid var(--accent); border-radius: 8px; background: var(--accent); color: var(--paper); cursor: pointer; }
button.plain { background: none; color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
ul { margin: 0 0 1rem; padding-left: 1.25rem; }
`
const styleHash = `'sha256-${createHash('sha256').update(style).digest('base64')}'`

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

const document = (title: string, main: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>${main}</main></body></html>
`

/** Headers of a page. */
export function sendPage(page: Page): Record<string, string> {
  const policy = [
    "default-src 'none'",
    `style-src ${styleHash}`,
    `form-action ${["'self'", ...page.formTargets].join(' ')}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  }
}

const originsOf = (...addresses: readonly (string | undefined)[]): string[] =>
  addresses.flatMap((text) => (text !== undefined && URL.canParse(text) ? [new URL(text).origin] : []))

export type Asking = { action: string; token: string; clientName: string; redirectUri: string | undefined }

const hidden = (token: string, action: string) =>
  `<input type="hidden" name="token" value="${escapeHtml(token)}"><input type="hidden" name="do" value="${action}">`

/** `message`: what went wrong, or what happened. With `codeSent` the form for the code comes first. */
export function loginPage(
  asking: Asking,
  state: { contact?: string; message?: { text: string; bad: boolean }; codeSent?: boolean } = {},
): Page {
  const { action, token, clientName, redirectUri } = asking
  const contact = escapeHtml(state.contact ?? '')
  const form = (content: string) => `<form method="post" action="${escapeHtml(action)}">${content}</form>`
  const contactField = (id: string) =>
    `<label for="${id}">E-mail address or telephone number<input id="${id}" name="contact" value="${contact}" autocomplete="username" required maxlength="320" autocapitalize="none" spellcheck="false"></label>`
  const byCode = form(`${hidden(token, 'code')}${contactField('code-contact')}
<label for="code">Code<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" maxlength="6" required></label><button>Sign in</button>`)
  const byPassword = form(`${hidden(token, 'password')}${contactField('contact')}
<label for="password">Password<input id="password" name="password" type="password" autocomplete="current-password" maxlength="200" required></label><button>Sign in</button>`)
  const sendCode = form(
    `${hidden(token, 'send-code')}${contactField('send-contact')}<button class="plain">Send me a code</button>`,
  )
  const message = state.message
    ? `<p role="alert" class="${state.message.bad ? 'bad' : 'soft'}">${escapeHtml(state.message.text)}</p>`
    : ''
  const parts = state.codeSent
    ? `${byCode}<h2>No code?</h2>${sendCode}`
    : `${byPassword}<h2>Without a password</h2>${sendCode}`
  const cancel = form(`${hidden(token, 'cancel')}<button class="plain">Cancel</button>`)
  return {
    html: document(
      'Sign in',
      `<h1>Sign in</h1><p class="soft">to go on to ${escapeHtml(clientName)}</p>${message}${parts}<h2>Not you?</h2>${cancel}`,
    ),
    formTargets: originsOf(redirectUri),
  }
}

const scopeNames: Readonly<Record<string, string>> = {
  openid: 'Know who you are here',
  email: 'See your e-mail address',
  phone: 'See your telephone number',
  offline_access: 'Stay signed in when you are away',
  api: 'Act for you in this shop',
}

export function consentPage({ action, token, clientName, redirectUri }: Asking, scopes: readonly string[]): Page {
  const items = scopes.map((scope) => `<li>${escapeHtml(scopeNames[scope] ?? scope)}</li>`).join('')
  return {
    html: document(
      'Allow access',
      `<h1>Allow ${escapeHtml(clientName)} to:</h1><ul>${items}</ul>
<form method="post" action="${escapeHtml(action)}"><input type="hidden" name="token" value="${escapeHtml(token)}">
<button name="do" value="allow">Allow</button><button name="do" value="cancel" class="plain">Cancel</button></form>`,
    ),
    formTargets: originsOf(redirectUri),
  }
}

/** `form`: the provider's own, hidden; its buttons are here. */
export function logoutPage(form: string, backTo: string | undefined): Page {
  return {
    html: document(
      'Sign out',
      `<h1>Sign out?</h1><p class="soft">You can also stay signed in here and leave the application alone.</p>${form}
<p><button form="op.logoutForm" name="logout" value="yes">Sign out</button></p><p><button form="op.logoutForm" class="plain">Stay signed in</button></p>`,
    ),
    formTargets: originsOf(backTo),
  }
}

export function loggedOutPage(): Page {
  return {
    html: document('Signed out', '<h1>You are signed out</h1><p class="soft">You can close this page.</p>'),
    formTargets: [],
  }
}

export function errorPage(reason: string): Page {
  return {
    html: document(
      'That did not work',
      `<h1>That did not work</h1><p class="bad" role="alert">${escapeHtml(reason)}</p><p class="soft">Go back to the application and start again.</p>`,
    ),
    formTargets: [],
  }
}
