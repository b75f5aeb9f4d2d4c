/** The life of a tenant, as a table. Closed is final: what a tenant sold must stay provable, so nothing is ever deleted. */
import type { TenantState } from '@stampede/shared/access/types.ts'

export const tenantStates = ['active', 'suspended', 'closed'] as const satisfies readonly TenantState[]
export const tenantCommands = ['suspend', 'resume', 'close'] as const
export type TenantCommand = (typeof tenantCommands)[number]

const transitions: Readonly<Record<TenantState, Partial<Record<TenantCommand, TenantState>>>> = {
  active: { suspend: 'suspended', close: 'closed' },
  suspended: { resume: 'active', close: 'closed' },
  closed: {},
}

/** Undefined: the state does not allow the command. */
export const nextState = (state: TenantState, command: TenantCommand): TenantState | undefined =>
  transitions[state][command]

export const allowedCommands = (state: TenantState): TenantCommand[] =>
  tenantCommands.filter((command) => nextState(state, command) !== undefined)
