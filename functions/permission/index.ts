import { assignmentChanged, rolesChanged, userErased } from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { createPermissions, permissionConfig, type Permissions } from './permission.ts'
import { routes } from './routes.ts'

export const permissionFunction = defineFunction({
  name: 'permission',
  summary: 'Roles of each tenant, who has them, and what they allow.',
  config: permissionConfig,
  connect: createPermissions,
  routes,
  events: [
    on(rolesChanged, (event, service: Permissions) => service.onRolesChanged(event), { ordered: true }),
    on(assignmentChanged, (event, service: Permissions) => service.onAssignmentChanged(event), { ordered: true }),
    on(userErased, (event, service: Permissions) => service.onUserErased(event), { ordered: true }),
  ],
  schedules: [
    every('write-directory', '27 * * * *', (service: Permissions) => service.writeDirectory(), { alarm: true }),
    every('prune-inbox', '27 3 * * *', (service: Permissions) => service.pruneInbox()),
  ],
  ready: (service) => service.ready(),
  stop: (service) => service.stop(),
})
