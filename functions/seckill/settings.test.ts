import test from 'ava'
import { z } from 'zod'
import { seckillSettings, settingsEnvironment } from './settings.ts'

const environmentOf = (variables: Record<string, string>) => z.object(settingsEnvironment).parse(variables)
const captcha = {
  challenge: {
    policy: 'captcha',
    captcha: { verifyUrl: 'https://captcha.example.com/verify', siteKey: 'site', provider: 'turnstile' },
  },
}

for (const [condition, variables] of [
  ['is not there', {}],
  ['is empty', { CAPTCHA_SECRET: '' }],
  ['is an empty line', { CAPTCHA_SECRET: '\n' }],
] as const) {
  test(`CAPTCHA_SECRET – is none when it ${condition}: the policy captcha is refused`, (t) => {
    const environment = environmentOf(variables)
    t.is(environment.CAPTCHA_SECRET, undefined)
    const { error } = seckillSettings(environment).safeParse(captcha)
    t.regex(error?.message ?? '', /needs the environment variable CAPTCHA_SECRET/)
    t.true(seckillSettings(environment).safeParse({}).success)
  })
}

test('CAPTCHA_SECRET – with one the policy captcha is taken', (t) => {
  const environment = environmentOf({ CAPTCHA_SECRET: 'of the provider\n' })
  t.is(environment.CAPTCHA_SECRET, 'of the provider')
  t.true(seckillSettings(environment).safeParse(captcha).success)
})
