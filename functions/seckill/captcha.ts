/**
 * Asks a captcha provider whether an answer is good. Cloudflare Turnstile, hCaptcha and reCAPTCHA share the contract `siteverify`: a
 * form with `secret`, `response` and `remoteip` is posted, JSON with `success`, `hostname` and `error-codes` comes back.
 */
import { z } from 'zod'
import type { CaptchaSettings } from './settings.ts'

/** `unavailable`: the provider did not say, or said that the mistake is ours. */
export type CaptchaVerdict = 'met' | 'wrong' | 'unavailable'

export type CaptchaEffects = {
  fetch: typeof fetch
  secret: string
  /** Hears why the provider is `unavailable`. */
  failed: (reason: string) => void
}

export type Captcha = (answer: string, address: string, settings: CaptchaSettings) => Promise<CaptchaVerdict>

/** More is no answer of a provider. */
const maximumReplyBytes = 65_536

const reply = z.object({
  success: z.boolean(),
  hostname: z.string().optional(),
  'error-codes': z.array(z.string()).max(100).optional(),
})

/** The secret is wrong or was forgotten: no answer of a buyer will ever be good. */
const ourMistakes = new Set([
  'missing-input-secret',
  'invalid-input-secret',
  'sitekey-secret-mismatch',
  'bad-request',
  'internal-error',
])

export function createCaptcha({ fetch, secret, failed }: CaptchaEffects): Captcha {
  let inFlight = 0
  return async (answer, address, settings) => {
    if (inFlight >= settings.callsInFlight) {
      failed('too many calls are under way')
      return 'unavailable'
    }
    inFlight += 1
    try {
      const form = new URLSearchParams({ secret, response: answer })
      if (address !== '') form.set('remoteip', address)
      const response = await fetch(settings.verifyUrl, {
        method: 'POST',
        body: form,
        // The secret goes where it was sent to, or nowhere.
        redirect: 'error',
        signal: AbortSignal.timeout(settings.timeoutMs),
      })
      const text = await limitedText(response)
      if (!response.ok) throw new Error(`status ${response.status}`)
      return verdictOf(reply.parse(JSON.parse(text)), settings, failed)
    } catch (error) {
      failed(error instanceof z.ZodError || error instanceof SyntaxError ? 'no answer of a provider' : messageOf(error))
      return 'unavailable'
    } finally {
      inFlight -= 1
    }
  }
}

function verdictOf(
  said: z.output<typeof reply>,
  { hostname }: CaptchaSettings,
  failed: (reason: string) => void,
): CaptchaVerdict {
  const mistake = said['error-codes']?.find((code) => ourMistakes.has(code))
  if (!said.success && mistake !== undefined) {
    failed(mistake)
    return 'unavailable'
  }
  // A good answer for another page is what a farm of solvers sells.
  return said.success && (hostname === undefined || said.hostname === hostname) ? 'met' : 'wrong'
}

async function limitedText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length
    if (bytes > maximumReplyBytes) throw new Error('the reply is too large')
    text += decoder.decode(chunk as Uint8Array, { stream: true })
  }
  return text + decoder.decode()
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')
