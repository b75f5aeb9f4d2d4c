import {
  sessionRevoked,
  userDeactivated,
  userErased,
  userReactivated,
} from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, mount, on } from '@stampede/shared/function/declaration.ts'
import { createAuth, type Auth } from './auth.ts'
import { authConfig } from './config.ts'
import { clientRoutes } from './openid/client-routes.ts'
import { signInRoutes } from './routes.ts'
import { keyRoutes, sessionRoutes } from './session-routes.ts'

export const authFunction = defineFunction({
  name: 'auth',
  summary: 'Accounts, sign-in, sessions, tokens and their keys, and OpenID Connect.',
  config: authConfig,
  connect: createAuth,
  routes: [...signInRoutes, ...sessionRoutes, ...keyRoutes, ...clientRoutes],
  mounts: [
    mount(
      '/oidc/:tenantId/',
      { auth: 'public', summary: 'OpenID Connect for the applications of a tenant.' },
      (auth: Auth) => auth.openId,
    ),
  ],
  events: [
    on(sessionRevoked, (event, auth: Auth) => auth.onSessionRevoked(event)),
    on(userDeactivated, (event, auth: Auth) => auth.onUserDeactivated(event), { ordered: true }),
    on(userReactivated, (event, auth: Auth) => auth.onUserReactivated(event), { ordered: true }),
    on(userErased, (event, auth: Auth) => auth.onUserErased(event), { ordered: true }),
  ],
  schedules: [
    every('correct-access', '37 * * * *', (auth: Auth) => auth.correctAgain(), { alarm: true }),
    every('tell-logouts', '37 * * * *', (auth: Auth) => auth.sendNotices(), { alarm: true }),
    every('maintain-keys', '37 * * * *', (auth: Auth) => auth.maintainKeys(), { alarm: true }),
    every('rotate-keys', '37 * * * *', (auth: Auth) => auth.rotateKeys(), { alarm: true }),
    every('sweep', '37 * * * *', (auth: Auth) => auth.sweep()),
  ],
  ready: (auth) => auth.ready(),
  stop: (auth) => auth.stop(),
})
