import {
  couponExpired,
  couponIssued,
  couponRedeemed,
  couponReturned,
} from '@stampede/eventing/catalogue/coupon-events.ts'
import {
  accountRegistered,
  userDeactivated,
  userErased,
  userReactivated,
} from '@stampede/eventing/catalogue/identity-events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { ownRoutes } from './own-routes.ts'
import { staffRoutes } from './staff-routes.ts'
import { createUsers, userConfig, type Users } from './user.ts'

export const userFunction = defineFunction({
  name: 'user',
  summary: 'People: profile, addresses, coupon statistics, deactivation and erasure; personal data sealed.',
  config: userConfig,
  connect: (config, host) => createUsers(config, host),
  routes: [...ownRoutes, ...staffRoutes],
  events: [
    on(accountRegistered, (event, users: Users) => users.onRegistered(event)),
    on(userDeactivated, (event, users: Users) => users.onStateChanged(event)),
    on(userReactivated, (event, users: Users) => users.onStateChanged(event)),
    on(userErased, (event, users: Users) => users.onStateChanged(event)),
    on(couponIssued, (event, users: Users) => users.onCoupon('issued')(event)),
    on(couponRedeemed, (event, users: Users) => users.onCoupon('redeemed')(event)),
    on(couponReturned, (event, users: Users) => users.onCoupon('returned')(event)),
    on(couponExpired, (event, users: Users) => users.onCoupon('expired')(event)),
  ],
  schedules: [
    every('write-directory', '32 * * * *', (users: Users) => users.writeDirectory(), { alarm: true }),
    every('erase-due', '32 * * * *', (users: Users) => users.eraseDue(), { alarm: true }),
    every('rotate-keys', '32 * * * *', (users: Users) => users.rotateKeys(), { alarm: true }),
    every('prune-inbox', '32 3 * * *', (users: Users) => users.pruneInbox()),
  ],
  ready: (users) => users.ready(),
  stop: (users) => users.stop(),
})
