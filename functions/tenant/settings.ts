/** What a tenant is asked for and may set: shapes of its id, quota and settings. */
import { z } from 'zod'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'

/** Part of keys in Redis and of addresses, so no blanks, colons or slashes. */
export const tenantId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/)

/** A missing limit is no limit. */
export const tenantQuota = z.strictObject({
  requestsPerSecond: z.int().min(1).max(10_000_000).optional(),
  activities: z.int().min(0).max(1_000_000).optional(),
  ordersPerDay: z.int().min(0).max(1_000_000_000).optional(),
  storageRows: z.int().min(0).max(1_000_000_000_000).optional(),
})

const isTimeZone = (name: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
const isLocale = (tag: string): boolean => {
  try {
    return Intl.getCanonicalLocales(tag).length === 1
  } catch {
    return false
  }
}
const webAddress = z.url({ protocol: /^https$/ }).max(500)

/** Configuration of a tenant. What only its own pages or programs understand goes into `custom`. */
export const tenantSettings = z.strictObject({
  locale: z.string().max(35).refine(isLocale, 'is not a language tag such as en-GB').optional(),
  timeZone: z.string().max(64).refine(isTimeZone, 'is not a time zone such as Europe/Berlin').optional(),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .optional(),
  supportUrl: webAddress.optional(),
  branding: z
    .strictObject({
      displayName: z.string().min(1).max(100).optional(),
      logoUrl: webAddress.optional(),
      colour: z
        .string()
        .regex(/^#[0-9a-f]{6}$/)
        .optional(),
    })
    .optional(),
  custom: z
    .record(
      z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/),
      z.union([z.string().max(1_000), z.number(), z.boolean(), z.null()]),
    )
    .refine((custom) => Object.keys(custom).length <= 100, 'has more than 100 members')
    .optional(),
})
export type TenantSettings = z.output<typeof tenantSettings>

export const newTenant = z.strictObject({
  tenantId,
  name: z.string().trim().min(1).max(200),
  quota: tenantQuota.default({}),
  settings: tenantSettings.default({}),
})
export type NewTenant = z.output<typeof newTenant>

/** The tenant of the platform's own staff: it always exists. */
export const platform: NewTenant = { tenantId: platformTenant, name: 'Platform', quota: {}, settings: {} }

const maximumBootstrapTenants = 1_000

/** BOOTSTRAP_TENANTS: tenants that are created when they are not there; those that are stay as they are. */
export const bootstrapTenants = z
  .string()
  .default('[]')
  .transform((text, context): NewTenant[] => {
    try {
      const parsed = z.array(newTenant).max(maximumBootstrapTenants).safeParse(JSON.parse(text))
      if (parsed.success) return parsed.data
      context.addIssue({ code: 'custom', message: `is not a list of tenants: ${z.prettifyError(parsed.error)}` })
    } catch {
      context.addIssue({ code: 'custom', message: 'is not JSON: [{"tenantId":"acme","name":"Acme"}]' })
    }
    return z.NEVER
  })
