import { z } from 'zod'
import { notificationRequested } from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on, Reply, route } from '@stampede/shared/function/declaration.ts'
import { createNotification, notificationConfig, type Notification } from './notification.ts'
import { outboxPage, outboxPageHeaders } from './page.ts'

const messageView = z.object({
  notificationId: z.string(),
  channel: z.enum(['email', 'sms']),
  template: z.string(),
  recipient: z.string(),
  subject: z.string(),
  body: z.string(),
  receivedAt: z.string(),
})

export const notificationFunction = defineFunction({
  name: 'notification',
  summary: 'Messages to people. Its only channel yet is the development outbox.',
  config: notificationConfig,
  connect: createNotification,
  routes: [
    route(
      'GET',
      '/api/v1/notifications/outbox',
      {
        auth: 'staff',
        permission: 'notifications.read',
        summary: 'What would have been sent in the last hour, the newest first.',
        query: z.object({
          recipient: z.string().min(1).max(320).optional(),
          limit: z.coerce.number().int().min(1).max(500).default(100),
        }),
        reply: z.object({ messages: z.array(messageView) }),
      },
      async ({ principal, query }, notification: Notification) => ({
        messages: await notification.messages(principal.tenantId, query.recipient, query.limit),
      }),
    ),
    route(
      'GET',
      '/notifications/outbox',
      { auth: 'public', summary: 'The development outbox as a page.', mediaTypes: ['text/html'] },
      () => {
        return new Reply(200, outboxPage, outboxPageHeaders)
      },
    ),
  ],
  events: [on(notificationRequested, (event, notification: Notification) => notification.onRequested(event))],
  schedules: [every('sweep', '47 * * * *', (notification: Notification) => notification.sweep(), { alarm: true })],
  ready: (notification) => notification.ready(),
  stop: (notification) => notification.stop(),
})
