/** The schema of every document, by name. */
import { z } from 'zod'
import { retriesSchema } from '@stampede/shared/events/retries.ts'
import { gatewayDocument } from '../../functions/gateway/document.ts'
import { seckillSettings, settingsEnvironment } from '../../functions/seckill/settings.ts'

// Where a document is checked, the secrets of where it is going are not known.
const seckillEnvironment = z.object(settingsEnvironment).parse({ CAPTCHA_SECRET: 'assumed' })

export const documentSchemas: Readonly<Record<string, z.ZodType>> = {
  gateway: gatewayDocument,
  retries: retriesSchema,
  seckill: seckillSettings(seckillEnvironment),
}
