/** What the handlers of notification need. The only channel there is yet: a table that developers look into. */
import { z } from 'zod'
import type { notificationRequested } from '@stampede/eventing/catalogue/identity-events.ts'
import { gridFrom } from '@stampede/shared/alarms/grid.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { notificationContext } from '@stampede/shared/personal-data/event-context.ts'
import { createKeyRing, SealError } from '@stampede/shared/personal-data/key-ring.ts'
import { keysVariable } from '@stampede/shared/personal-data/keys.ts'
import { migrations } from './generated/migrations.ts'
import { insertMessage, listMessages, oldestMessageMs, sweepMessages, type StoredMessage } from './store.ts'
import { textOf } from './templates.ts'

export const notificationConfig = z.object({
  DATABASE_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  DATA_KEYS: keysVariable,
  /**
   * `outbox`: messages go nowhere and can be read by staff for an hour. Without a channel every message is answered 503: the broker tries
   * again, and then keeps it as a dead letter. Nothing is lost because nobody thought of a channel.
   */
  NOTIFICATION_CHANNEL: z.enum(['outbox']).optional(),
})
export type NotificationConfig = z.output<typeof notificationConfig>

export type Notification = ReturnType<typeof createNotification>
export type Message = {
  notificationId: string
  channel: 'email' | 'sms'
  template: string
  recipient: string
  subject: string
  body: string
  receivedAt: string
}
type Requested = ReceivedEvent<z.output<typeof notificationRequested.data>>

const keptMs = 3_600_000
/** One sweep takes what is over in this time. */
const sweepEveryMs = 600_000
const parametersSchema = z.record(z.string().max(64), z.string().max(2_000))

export function createNotification(config: NotificationConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const ring = createKeyRing(config.DATA_KEYS)
  if (config.NOTIFICATION_CHANNEL === undefined)
    host.log.warn('NOTIFICATION_CHANNEL is not set: messages are not accepted until it is')

  const render = (tenantId: string, stored: Pick<StoredMessage, 'notificationId' | 'template'> & Sealed) => {
    const open = (column: 'recipient' | 'parameters', sealed: string) =>
      ring.open(sealed, notificationContext(tenantId, stored.notificationId, column))
    const recipient = open('recipient', stored.sealedRecipient)
    const parameters = parametersSchema.parse(JSON.parse(open('parameters', stored.sealedParameters)))
    const text = textOf(stored.template, parameters)
    if (!text) throw new Problem('unprocessable', `There is no template ${stored.template}.`)
    return { recipient, ...text }
  }

  /** A row that cannot be opened any more must not hide the others. */
  const readable = (tenantId: string, stored: StoredMessage) => {
    try {
      return render(tenantId, stored)
    } catch (error) {
      host.log.warn({ err: error, tenantId, notificationId: stored.notificationId }, 'a message cannot be opened')
      return undefined
    }
  }

  return {
    /** Throws Problem `dependency-unavailable` without a channel, `unprocessable` for what can never be sent. */
    async onRequested({ data }: Requested) {
      if (config.NOTIFICATION_CHANNEL === undefined)
        throw new Problem(
          'dependency-unavailable',
          'There is no channel for messages: NOTIFICATION_CHANNEL is not set.',
        )
      const { tenantId, notificationId, channel, template, locale, sealedRecipient, sealedParameters } = data
      // A message that nobody could read is found now, while its sender's event is still at hand.
      try {
        render(tenantId, { notificationId, template, sealedRecipient, sealedParameters })
      } catch (error) {
        throw refusalOf(error)
      }
      await events.schema()
      await host.alarms.set('sweep', gridFrom(now() + keptMs, sweepEveryMs))
      // The primary key knows a message that came before; no memory of events is needed.
      await insertMessage(events.database.forTenant(tenantId), {
        notificationId,
        channel,
        template,
        locale,
        sealedRecipient,
        sealedParameters,
        expiresAt: new Date(data.expiresAt),
        receivedAt: new Date(now()),
      })
    },

    /** The newest first; `recipient` is an address or number in its normal form. */
    async messages(tenantId: string, recipient: string | undefined, limit: number): Promise<Message[]> {
      await events.schema()
      const stored = await listMessages(events.database.forTenant(tenantId), new Date(now() - keptMs), limit)
      return stored.flatMap((one) => {
        const { notificationId, channel, template } = one
        const shown = readable(tenantId, one)
        if (!shown) return []
        if (recipient !== undefined && shown.recipient !== recipient) return []
        return [{ notificationId, channel, template, ...shown, receivedAt: one.receivedAt.toISOString() }]
      })
    },

    /** The clock. Resolves with when the next message is to go. */
    async sweep(): Promise<number | undefined> {
      await events.schema()
      const platform = events.database.forPlatform()
      await sweepMessages(platform, new Date(now() - keptMs))
      await events.pruneInbox()
      const oldestMs = await oldestMessageMs(platform)
      return oldestMs === undefined ? undefined : gridFrom(oldestMs + keptMs, sweepEveryMs)
    },
    ready: events.ready,
    stop: events.stop,
  }
}

type Sealed = Pick<StoredMessage, 'sealedRecipient' | 'sealedParameters'>

function refusalOf(error: unknown): unknown {
  // The sender has a newer key than this process.
  if (error instanceof SealError && error.reason === 'unknown-key')
    return new Problem('dependency-unavailable', 'The message is sealed with a key that is not here yet.', {
      cause: error,
    })
  if (error instanceof SealError || error instanceof z.ZodError || error instanceof SyntaxError)
    return new Problem('unprocessable', 'The message cannot be opened.', { cause: error })
  return error
}
