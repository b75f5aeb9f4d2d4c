/** BOOTSTRAP_ADMINISTRATORS: who becomes the administrator of a tenant that has none, for the first person of an installation. */
import { z } from 'zod'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const administrators = z.array(z.strictObject({ tenantId: identifier, userId: identifier })).max(100)

export const bootstrapAdministrators = z
  .string()
  .default('[]')
  .transform((text, context): z.output<typeof administrators> => {
    try {
      const parsed = administrators.safeParse(JSON.parse(text))
      if (parsed.success) return parsed.data
      context.addIssue({ code: 'custom', message: `is not a list of people: ${z.prettifyError(parsed.error)}` })
    } catch {
      context.addIssue({ code: 'custom', message: 'is not JSON: [{"tenantId":"platform","userId":"01J…"}]' })
    }
    return z.NEVER
  })
