import {
  sessionRevoked,
  userDeactivated,
  userErased,
  userReactivated,
} from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { createAuth, type Auth } from './auth.ts'
import { authConfig } from './config.ts'
import { signInRoutes } from './routes.ts'
import { keyRoutes, sessionRoutes } from './session-routes.ts'

export const authFunction = defineFunction({
  name: 'auth',
  summary: 'Accounts, sign-in, sessions, tokens and their keys, and OpenID Connect.',
  config: authConfig,
  connect: createAuth,
  routes: [...signInRoutes, ...sessionRoutes, ...keyRoutes],
  events: [
    on(sessionRevoked, (event, auth: Auth) => auth.onSessionRevoked(event)),
    on(userDeactivated, (event, auth: Auth) => auth.onUserDeactivated(event), { ordered: true }),
    on(userReactivated, (event, auth: Auth) => auth.onUserReactivated(event), { ordered: true }),
    on(userErased, (event, auth: Auth) => auth.onUserErased(event), { ordered: true }),
  ],
  schedules: [
    every('correct-access', '* * * * *', (auth: Auth) => auth.correctAgain()),
    every('maintain-keys', '*/5 * * * *', (auth: Auth) => auth.maintainKeys()),
    every('sweep', '23 * * * *', (auth: Auth) => auth.sweep()),
  ],
  ready: (auth) => auth.ready(),
  stop: (auth) => auth.stop(),
})
