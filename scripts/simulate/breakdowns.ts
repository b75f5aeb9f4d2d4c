/** What breaks as a whole, a process or a service, and comes back after a while. */
import type { ProcessKind } from './processes.ts'
import type { World } from './world.ts'

/** A process dies, with all it remembers; a new life begins after a while. */
export function crashProcess(world: World, kind: ProcessKind): void {
  const { scheduler, database, broker, ledger, processes, failures } = world
  const actor = processes.victim(kind)
  if (!actor?.alive) return
  scheduler.kill(actor)
  database.abandon(actor)
  if (kind === 'seckill') ledger.processDied()
  broker.lost(actor)
  processes.leavePressesUnanswered(actor)
  scheduler.later(`${actor.name} starts again`, failures.downMs.process(), () => processes.start(world, actor))
}

/** Redis dies, loses a tail of what it did, and comes back as another process. */
export function crashRedis({ scheduler, failures, sharedRedis }: World): void {
  const { down, downMs } = failures
  if (down.redis) return
  down.redis = true
  sharedRedis.restart()
  scheduler.later('redis is up', downMs.redis(), () => {
    down.redis = false
  })
}

/** The database loses what is not committed. */
export function crashDatabase({ scheduler, failures, database, note }: World): void {
  const { down, downMs } = failures
  down.database = true
  note?.('the database restarts')
  database.crash()
  scheduler.later('the database is up', downMs.database(), () => {
    down.database = false
  })
}

/** The broker loses nothing, but takes nothing either. */
export function stopBroker({ scheduler, failures }: World): void {
  const { down, downMs } = failures
  down.broker = true
  scheduler.later('the broker is up', downMs.broker(), () => {
    down.broker = false
  })
}
