/** What `user` decided of a person: auth lets them in, or not. */
import type { ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import type { AuthContext } from './context.ts'
import { correctDirectory, endAllSessions } from './end-sessions.ts'
import { deleteContacts, lockAccount, setAccountState, setPassword, type AccountState } from './store.ts'

type UserEvent = ReceivedEvent<{ tenantId: string; userId: string; at: string }>

/** Idempotent; an event that is older than what is known changes nothing, and nobody comes back from being erased. */
export async function changeAccountState(auth: AuthContext, event: UserEvent, state: AccountState): Promise<void> {
  const { tenantId, userId } = event.data
  const at = new Date(event.data.at)
  let ended: string[] = []
  await auth.events.once(event, async (context) => {
    ended = []
    const account = await lockAccount(context.tenant, userId)
    if (!account || account.state === 'erased' || account.stateAt > at) return
    await setAccountState(context.tenant, userId, state, at)
    if (state === 'active') return
    ended = await endAllSessions(auth, context, { userId, reason: 'user-deactivated' })
    if (state !== 'erased') return
    await deleteContacts(context.tenant, userId)
    await setPassword(context.tenant, userId, null, at)
  })
  // When this fails the event comes again and finds itself handled; `session.revoked` of the transaction does it then.
  await correctDirectory(auth, tenantId, userId, ended, auth.now())
}
