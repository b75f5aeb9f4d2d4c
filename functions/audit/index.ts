import { auditRecorded } from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { auditConfig, createAudit, type Audit } from './audit.ts'
import { routes } from './routes.ts'

export const auditFunction = defineFunction({
  name: 'audit',
  summary: 'Who did what: appended to a hash chain for each tenant, never changed, verifiable.',
  config: auditConfig,
  connect: (config, host) => createAudit(config, host),
  routes,
  events: [on(auditRecorded, (event, audit: Audit) => audit.onRecorded(event))],
  schedules: [every('checkpoint', '42 * * * *', (audit: Audit) => audit.checkpoint(), { alarm: true })],
  ready: (audit) => audit.ready(),
  stop: (audit) => audit.stop(),
})
