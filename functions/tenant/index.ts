import { tenantChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { routes } from './routes.ts'
import { createTenants, tenantConfig, type Tenants } from './tenant.ts'

export const tenantFunction = defineFunction({
  name: 'tenant',
  summary: 'Tenants: life cycle, quotas and settings.',
  config: tenantConfig,
  connect: createTenants,
  routes,
  events: [on(tenantChanged, (event, tenants: Tenants) => tenants.onChanged(event), { ordered: true })],
  schedules: [
    every('write-directory', '22 * * * *', (tenants: Tenants) => tenants.writeDirectory(), { alarm: true }),
    every('measure-storage', '22 * * * *', (tenants: Tenants) => tenants.measureStorage(), { alarm: true }),
    every('prune-inbox', '22 3 * * *', (tenants: Tenants) => tenants.pruneInbox()),
  ],
  ready: (tenants) => tenants.ready(),
  stop: (tenants) => tenants.stop(),
})
