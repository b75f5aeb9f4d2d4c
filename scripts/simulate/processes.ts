/** The processes of the three functions: who lives, who of them is asked, and what buyers want of them. */
import type { DecisionOutcome } from '../../functions/seckill/decide-together.ts'
import type { Subscriber } from './broker.ts'
import { startOrderProcess, type OrderProcess } from './order-process.ts'
import type { Random } from './random.ts'
import { startReconciler } from './reconciler.ts'
import { Unreachable, type Actor, type Respond } from './scheduler.ts'
import { startSeckillProcess, type Press, type SeckillProcess } from './seckill-process.ts'
import type { Settings } from './settings.ts'
import type { World } from './world.ts'

export type ProcessKind = 'seckill' | 'order' | 'reconciliation'

/** `process` is undefined until its first start. */
type Running<P> = { actor: Actor; process: P | undefined }

export const newActor = (name: string): Actor => ({ name, life: 1, alive: true })

export type Processes = {
  /** Begins a life of the process. */
  start(world: World, actor: Actor): void
  startAll(world: World): void
  /** Who gets an event; one of those that live. */
  receivers: Record<'seckill' | 'order', Subscriber['receiver']>
  /** Who dies. Undefined when all are dead already; of the reconciliation there is one, dead or alive. */
  victim(kind: ProcessKind): Actor | undefined
  /** A buyer presses; resolves with the answer, rejects when none comes. */
  press(world: World, buyer: Actor, press: Press): Promise<DecisionOutcome>
  /** The process died: who waits for its answer hears that there is none. */
  leavePressesUnanswered(actor: Actor): void
  /** A buyer cancels the own order. */
  cancel(request: { userId: string; orderNumber: string }): void
}

export function createProcesses(settings: Settings, random: Random): Processes {
  const running = <P>(kind: ProcessKind, count: number): Running<P>[] =>
    Array.from({ length: count }, (_, index) => ({ actor: newActor(`${kind}-${index + 1}`), process: undefined }))
  const seckill = running<SeckillProcess>('seckill', settings.seckillProcesses)
  const order = running<OrderProcess>('order', settings.orderProcesses)
  const reconciliation = newActor('reconciliation')
  /** Presses that wait for their answer, and at whom. */
  const openPresses = new Map<Respond<DecisionOutcome>, Actor>()

  /** One of those that live. */
  const pick = <P>(processes: readonly Running<P>[]): { actor: Actor; process: P } | undefined => {
    const alive = processes.filter((entry) => entry.actor.alive)
    const chosen = alive.length > 0 ? random.pick(alive) : undefined
    return chosen && { actor: chosen.actor, process: chosen.process! }
  }

  const receiverOf = (
    target: { actor: Actor; process: SeckillProcess | OrderProcess } | undefined,
  ): ReturnType<Subscriber['receiver']> =>
    target && { actor: target.actor, handle: (event) => target.process.handle(event) }

  const start = (world: World, actor: Actor): void => {
    actor.alive = true
    const inSeckill = seckill.find((entry) => entry.actor === actor)
    const inOrder = order.find((entry) => entry.actor === actor)
    if (inSeckill) inSeckill.process = startSeckillProcess(world, actor)
    else if (inOrder) inOrder.process = startOrderProcess(world, actor)
    else startReconciler(world, actor)
  }

  return {
    start,
    startAll: (world) => {
      for (const { actor } of [...seckill, ...order]) start(world, actor)
      start(world, reconciliation)
    },
    receivers: {
      seckill: () => receiverOf(pick(seckill)),
      order: () => receiverOf(pick(order)),
    },
    victim: (kind) =>
      kind === 'reconciliation' ? reconciliation : pick<unknown>(kind === 'seckill' ? seckill : order)?.actor,

    press: ({ scheduler, ledger, failures, note }, buyer, press) =>
      scheduler.request<DecisionOutcome>(
        buyer,
        `POST purchase ${press.userId} ${press.quantity}`,
        (respond) => {
          const target = pick(seckill)
          if (!target) {
            respond.reject(new Unreachable('no process of seckill'))
            return
          }
          const answer: Respond<DecisionOutcome> = {
            resolve: (outcome) => {
              openPresses.delete(answer)
              note?.(`${target.actor.name} answers ${press.userId}: ${JSON.stringify(outcome)}`)
              if (outcome.outcome === 'accepted' || outcome.outcome === 'replayed')
                ledger.promised.add(outcome.orderNumber)
              respond.resolve(outcome)
            },
            reject: (error) => {
              openPresses.delete(answer)
              respond.reject(error)
            },
          }
          openPresses.set(answer, target.actor)
          target.process.press(press, answer)
        },
        failures.ofPress,
      ),
    leavePressesUnanswered: (actor) => {
      for (const [answer, of] of openPresses) if (of === actor) answer.reject(new Unreachable('the process died'))
    },
    cancel: (request) => {
      void pick(order)
        ?.process.cancel(request)
        .catch(() => {})
    },
  }
}
