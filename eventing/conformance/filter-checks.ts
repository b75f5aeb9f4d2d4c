import { deepEqual } from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import type { Check } from './check.ts'
import { makeEvent, publish } from './publish.ts'

/** Name → attributes. `last` passes every filter and has the same key: when it is there, everything before it was decided. */
const events: Record<string, Record<string, string>> = {
  plain: {},
  red: { colour: 'red' },
  reed: { colour: 'reed' },
  blue: { colour: 'blue' },
  'blue-round': { colour: 'blue', shape: 'round' },
  'green-round': { colour: 'green', shape: 'round' },
  last: { colour: 'red', shape: 'round' },
}

const expected: Record<string, string[]> = {
  'filter-attributes': ['red', 'last'],
  'filter-presence': ['blue-round', 'green-round', 'last'],
  'filter-exact': ['red', 'last'],
  'filter-prefix': ['red', 'reed', 'last'],
  'filter-suffix': ['red', 'reed', 'last'],
  'filter-all': ['last'],
  'filter-any': ['red', 'blue-round', 'green-round', 'last'],
  'filter-not': ['plain', 'red', 'reed', 'green-round', 'last'],
}

export const filterChecks: Check[] = [
  {
    title: 'filters – each dialect lets exactly its events through',
    run: async (broker) => {
      for (const [name, attributes] of Object.entries(events)) {
        await publish(broker, makeEvent(broker, 'filter', name, { partitionkey: broker.run, ...attributes }))
      }
      // Without order nothing tells that no more will come: what should not come at all is given some time.
      if (!broker.ordered) await pause(2_000)
      const prefix = `${broker.run}-filter-`
      for (const [trigger, names] of Object.entries(expected)) {
        const wanted = broker.ordered ? ['last'] : names
        const arrived = () =>
          broker.subscriber
            .at(`/${trigger}`, prefix)
            .map(({ message }) => message.attributes['id']!.slice(prefix.length))
        const ids = await broker.subscriber.until(`the last event at ${trigger}`, () => {
          const found = arrived()
          return wanted.every((name) => found.includes(name)) && found
        })
        // As they came where they come in order; anyhow each once.
        const distinct = [...new Set(ids)]
        deepEqual(broker.ordered ? distinct : distinct.toSorted(), broker.ordered ? names : names.toSorted(), trigger)
      }
    },
  },
]
