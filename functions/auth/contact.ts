/** A contact as people give it, and what it is found by. */
import { z } from 'zod'
import { normaliseContact, type ContactKind } from '@stampede/shared/personal-data/contact.ts'
import type { BlindIndex } from '@stampede/shared/personal-data/blind-index.ts'

export const contactInput = z
  .strictObject({ kind: z.enum(['email', 'phone']), value: z.string().min(3).max(320) })
  .transform(({ kind, value }, context): { kind: ContactKind; value: string } => {
    const normalised = normaliseContact(kind, value)
    if (normalised !== undefined) return { kind, value: normalised }
    const message =
      kind === 'email' ? 'is not an e-mail address' : 'is not a telephone number with its country, like +49 170 1234567'
    context.addIssue({ code: 'custom', message, path: ['value'] })
    return z.NEVER
  })
export type ContactInput = z.output<typeof contactInput>

/** `index` is what is written now; `indexes` are those that older rows may have. */
export type IndexedContact = ContactInput & { index: string; indexes: readonly string[] }

export function indexContact(blindIndex: BlindIndex, tenantId: string, contact: ContactInput): IndexedContact {
  const indexes = blindIndex.all('contact', tenantId, `${contact.kind}:${contact.value}`)
  return { ...contact, index: indexes[0], indexes }
}
