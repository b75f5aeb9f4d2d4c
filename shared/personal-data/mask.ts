/** What others may see of personal data: enough to recognise what one knows, too little to learn it. Lengths are not shown. */

const first = (text: string): string => [...new Intl.Segmenter().segment(text)][0]?.segment ?? ''
const initial = (text: string): string => `${first(text)}***`

/** `ann@example.com` → `a***@e***.com`. */
export function maskEmail(email: string): string {
  const at = email.lastIndexOf('@')
  if (at < 1) return '***'
  const local = email.slice(0, at)
  const domain = email.slice(at + 1)
  const dot = domain.lastIndexOf('.')
  // Of a short one the first character is most of it.
  const shownLocal = local.length > 2 ? initial(local) : '***'
  return dot < 1 ? `${shownLocal}@***` : `${shownLocal}@${initial(domain.slice(0, dot))}${domain.slice(dot)}`
}

/** `+491701234567` → `+49***67`. */
export function maskPhone(phone: string): string {
  return /^\+\d{7,15}$/.test(phone) ? `${phone.slice(0, 3)}***${phone.slice(-2)}` : '***'
}

/** `Ann Lee` → `A*** L***`. */
export function maskName(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 5)
  return words[0] === '' || words[0] === undefined ? '' : words.map(initial).join(' ')
}

/** For streets, postcodes and whatever else has no shape of its own. */
export function maskText(text: string): string {
  return text === '' ? '' : '***'
}

export function maskContact(kind: 'email' | 'phone', value: string): string {
  return kind === 'email' ? maskEmail(value) : maskPhone(value)
}
