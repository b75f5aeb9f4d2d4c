/** What the handlers of user need: connections, keys, each change in its transaction, and the access directory that follows. */
import { Counter, Gauge } from 'prom-client'
import { z } from 'zod'
import type { accountRegistered } from '@stampede/eventing/catalogue/identity-events.ts'
import type { couponIssued } from '@stampede/eventing/catalogue/coupon-events.ts'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { correctionTtlMs } from '@stampede/shared/access/facts.ts'
import { systemActor, type AuditActor } from '@stampede/shared/audit/audit-event.ts'
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase, type ChangeContext } from '@stampede/shared/function/event-database.ts'
import { createBlindIndex } from '@stampede/shared/personal-data/blind-index.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import { keysVariable } from '@stampede/shared/personal-data/keys.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { erase, lockExisting, register } from './change-person.ts'
import { addCoupon, type CouponFact } from './coupon-statistics.ts'
import { migrations } from './generated/migrations.ts'
import type { Keys, Person } from './person.ts'
import { rotateKeys, type Rotation } from './rotate-keys.ts'
import { erasuresDue, nextErasureMs, findPerson, lockPerson, stateChanges, type StateChange } from './store.ts'

const dayMs = 86_400_000

export const userConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  DATA_KEYS: keysVariable,
  INDEX_KEY: keysVariable,
  /** How long after somebody asked for it their data is erased; staff can activate the account until then. 0: at once. */
  ERASURE_GRACE_DAYS: z.coerce.number().int().min(0).max(30).default(14),
  /** Rows that one pass of a key rotation brings under the current key, at most. */
  ROTATION_ROWS: z.coerce.number().int().min(1).max(100_000).default(5_000),
})
export type UserConfig = z.output<typeof userConfig>

const page = 200
/** People that one tick looks at, at most. */
const maximumPerTick = 10_000
/** Below the time that an event may take. */
const rotationMs = 20_000

export type Users = ReturnType<typeof createUsers>

export function createUsers(config: UserConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema, change, once } = events
  const redis = connectRedis(config.REDIS_URL, { connectionName: 'user' })
  const directory = createAccessDirectory(redis)
  const keys: Keys = { ring: createKeyRing(config.DATA_KEYS), index: createBlindIndex(config.INDEX_KEY) }
  const peopleUnderKey = new Gauge({
    name: 'user_people_under_key',
    help: 'People by the key that their data, or their index, is under. A rotation is over when old keys have none.',
    labelNames: ['use', 'key'],
    registers: [host.metrics],
  })
  const rotatedTotal = new Counter({
    name: 'user_rows_rotated_total',
    help: 'Rows that were brought under the current key; `failed` could not be.',
    labelNames: ['outcome'],
    registers: [host.metrics],
  })

  /** The state as it is now, whichever event tells of it: what is older never replaces what is newer. */
  const correct = ({ tenantId, userId, state, stateAtMs }: StateChange) =>
    directory.correct(tenantId, userId, { atMs: stateAtMs, blocked: state !== 'active' })

  /** A change of the state. It stands when Redis does not answer: its event and the clock bring it there. */
  const changeState = async (
    tenantId: string,
    actor: AuditActor,
    work: (context: ChangeContext) => Promise<Person>,
  ): Promise<Person> => {
    const person = await change(tenantId, actor.id, work)
    await correct(person).catch((error: unknown) =>
      host.log.warn({ error, tenantId, userId: person.userId }, 'the access directory does not follow yet'),
    )
    return person
  }

  const rotate = async (): Promise<Rotation> => {
    await schema()
    const untilMs = performance.now() + rotationMs
    const rotation = await rotateKeys({
      database,
      keys,
      maximumRows: config.ROTATION_ROWS,
      isOver: () => host.draining.aborted || performance.now() > untilMs,
      onFailure: ({ tenantId, userId }, error) =>
        host.log.error({ tenantId, userId, error }, 'a person could not be brought under the current key'),
    })
    peopleUnderKey.reset()
    for (const use of ['data', 'index'] as const)
      for (const [key, count] of Object.entries(rotation.people[use])) peopleUnderKey.set({ use, key }, count)
    rotatedTotal.inc({ outcome: 'rotated' }, rotation.rotated.data + rotation.rotated.index)
    rotatedTotal.inc({ outcome: 'failed' }, rotation.failed)
    return rotation
  }

  return {
    database,
    schema,
    change,
    changeState,
    keys,
    now,
    rotate,
    access: host.access,
    erasureGraceMs: config.ERASURE_GRACE_DAYS * dayMs,

    onRegistered: (event: ReceivedEvent<z.output<typeof accountRegistered.data>>) =>
      once(event, (context) => register(context, event.data, keys)),

    onCoupon: (fact: CouponFact) => (event: ReceivedEvent<z.output<typeof couponIssued.data>>) =>
      once(event, async (context) => {
        // The lock keeps an erasure from passing between the look and the sum.
        const person = await lockPerson(context.tenant, event.data.userId)
        if (person?.state !== 'erased') await addCoupon(context.tenant, fact, event.data)
      }),

    /** Again after the commit, because the process may have died between it and the directory. */
    async onStateChanged({ data }: ReceivedEvent<{ tenantId: string; userId: string }>) {
      await schema()
      const person = await findPerson(database.forTenant(data.tenantId), data.userId)
      if (person) await correct(person)
    },

    /** The clock: what can still matter, for a Redis that forgot. */
    async writeDirectory() {
      await schema()
      let after: StateChange | undefined
      for (let written = 0; written < maximumPerTick && !host.draining.aborted; written += page) {
        const changes = await stateChanges(database.forPlatform(), now() - correctionTtlMs, after, page)
        await Promise.all(changes.map(correct))
        after = changes.at(-1)
        if (changes.length < page) return
      }
    },

    /** The clock: erases who asked for it, when their time has come. Resolves with when the next one's has. */
    async eraseDue(): Promise<number | undefined> {
      await schema()
      for (let looked = 0; looked < maximumPerTick && !host.draining.aborted; looked += page) {
        const due = await erasuresDue(database.forPlatform(), now(), page)
        for (const { tenantId, userId } of due) {
          const actor = systemActor(host.name, tenantId)
          await changeState(tenantId, actor, async (context) => {
            const person = await lockExisting(context, userId)
            // Activated meanwhile.
            if (person.erasureDueAtMs === null || person.erasureDueAtMs > context.now()) return person
            return erase(context, person, { userId, actor, keys }, 'asked for by the person')
          })
        }
        if (due.length < page) break
      }
      return nextErasureMs(database.forPlatform())
    },
    /** The clock. Resolves with when to go on, while there is something left that can be brought under the current keys. */
    async rotateKeys(): Promise<number | undefined> {
      const { rotated, left } = await rotate()
      const goesOn = rotated.data + rotated.index > 0 && left.data + left.index > 0
      return goesOn ? gridAfter(now(), 60_000) : undefined
    },

    pruneInbox: events.pruneInbox,
    async ready() {
      await events.ready()
      await redis.ping()
    },
    async stop() {
      await events.stop()
      redis.disconnect()
    },
  }
}
