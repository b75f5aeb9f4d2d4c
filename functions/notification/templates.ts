/** What messages say. One language until the templates of tenants exist. */

type Text = { subject: string; body: (parameters: Readonly<Record<string, string>>) => string }

const code = (what: string): Text => ({
  subject: `Your code to ${what}`,
  body: ({ code: digits = '', minutes = '' }) =>
    `${digits} is your code to ${what}. It can be used for ${minutes} minutes. Nobody will ever ask you for it. Was it not you? Then nothing needs to be done.`,
})

const texts: Readonly<Record<string, Text>> = {
  'register-code': code('register'),
  'login-code': code('sign in'),
  'reset-password-code': code('set a new password'),
  'account-exists': {
    subject: 'You have an account already',
    body: () =>
      'Somebody wanted to register with this contact, which has an account. Sign in instead. Was it not you? Then nothing needs to be done.',
  },
  'no-account': {
    subject: 'There is no account',
    body: () =>
      'Somebody wanted to sign in with this contact, which has no account. Register first. Was it not you? Then nothing needs to be done.',
  },
}

/** Undefined: there is no such template. */
export function textOf(template: string, parameters: Readonly<Record<string, string>>) {
  const text = Object.hasOwn(texts, template) ? texts[template] : undefined
  return text && { subject: text.subject, body: text.body(parameters) }
}
