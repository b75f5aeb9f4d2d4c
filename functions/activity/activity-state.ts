/** The life of an activity as one table. A change that is not in it does not exist. */

export const activityStates = [
  'draft',
  'scheduled',
  'allocation-refused',
  'warmed-up',
  'open',
  'paused',
  'closed',
  'settled',
  'cancelled',
] as const
export type ActivityState = (typeof activityStates)[number]

/** What can happen to an activity: by staff, by the clock, or by an event of inventory. */
export const activityCommands = [
  'change',
  'schedule',
  'refuse-allocation',
  'warm-up',
  'open',
  'pause',
  'resume',
  'close',
  'settle',
  'cancel',
] as const
export type ActivityCommand = (typeof activityCommands)[number]

type Row = Partial<Record<ActivityCommand, ActivityState>>

export const activityTransitions: Record<ActivityState, Row> = {
  draft: { change: 'draft', schedule: 'scheduled', cancel: 'cancelled' },
  // close: the window ended although nobody heard that the sale was warmed up.
  scheduled: {
    'refuse-allocation': 'allocation-refused',
    'warm-up': 'warmed-up',
    close: 'closed',
    cancel: 'cancelled',
  },
  'allocation-refused': { change: 'draft', schedule: 'scheduled', cancel: 'cancelled' },
  'warmed-up': { open: 'open', close: 'closed', cancel: 'cancelled' },
  open: { pause: 'paused', close: 'closed' },
  paused: { resume: 'open', close: 'closed' },
  closed: { settle: 'settled' },
  settled: {},
  cancelled: {},
}

/** The state after a command, or undefined when the state does not allow it. */
export function nextState(state: ActivityState, command: ActivityCommand): ActivityState | undefined {
  return activityTransitions[state][command]
}

export const allowedCommands = (state: ActivityState) => Object.keys(activityTransitions[state]) as ActivityCommand[]

/** What the sale in Redis should say while the activity is in this state; undefined: no opinion. */
export function saleStateOf(state: ActivityState): 'open' | 'paused' | 'closed' | undefined {
  switch (state) {
    // Open before the window begins: the script in Redis looks at the window itself.
    case 'warmed-up':
    case 'open':
      return 'open'
    case 'paused':
      return 'paused'
    case 'closed':
    case 'settled':
    case 'cancelled':
      return 'closed'
    default:
      return undefined
  }
}
