/** What the clock does while nobody wants anything: as little as possible, so that functions can sleep. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import alarmTasks from '@stampede/eventing/generated/alarm-tasks.json' with { type: 'json' }
import { measureStorage } from '@stampede/shared/access/storage-quota.ts'
import { accessWriters } from '@stampede/shared/access/writers.ts'
import { everyFunction } from './index.ts'

const schedules = everyFunction.flatMap(({ name, schedules: own = [] }) =>
  own.map(({ task, cron, options }) => ({ name, task, cron, alarm: options.alarm === true, key: `${name}/${task}` })),
)
const withAlarm = new Set(schedules.filter(({ alarm }) => alarm).map(({ key }) => key))

/** Tasks that may run more often than once an hour by a schedule. Each keeps its function awake for good: say why. */
const exceptions: readonly string[] = []

/** Minute and hour of a schedule that runs once an hour or more rarely; undefined for any other. */
function rareTime(cron: string): { minute: number; hour: string } | undefined {
  const [, minute, hour] = /^(\d{1,2}) (\*|\d{1,2}) \* \* \*$/.exec(cron) ?? []
  return minute === undefined || hour === undefined || Number(minute) > 59
    ? undefined
    : { minute: Number(minute), hour }
}

test('schedules – none wakes its function more often than once an hour', (t) => {
  t.true(schedules.length > 10)
  const often = schedules.filter(({ cron }) => rareTime(cron) === undefined).map(({ key }) => key)
  t.deepEqual(often, exceptions)
  for (const cron of ['* * * * *', '*/30 * * * *', '5,35 * * * *', '0-5 3 * * *', '0 */1 * * *'])
    t.is(rareTime(cron), undefined, cron)
})

test('schedules – what an alarm starts is looked after once an hour, too', (t) => {
  for (const { key, cron, alarm } of schedules) if (alarm) t.is(rareTime(cron)?.hour, '*', key)
  t.deepEqual(alarmTasks.flat().toSorted(), [...withAlarm].toSorted())
})

test('schedules – a function wakes up once for all it has to do, and no two functions in the same minute', (t) => {
  const minutes = [...Map.groupBy(schedules, ({ name }) => name)].map(([name, own]) => ({
    name,
    minutes: new Set(own.map(({ cron }) => rareTime(cron)?.minute)),
  }))
  for (const { name, minutes: own } of minutes) t.is(own.size, 1, name)
  const all = minutes.map(({ minutes: own }) => [...own][0]!).toSorted((a, b) => a - b)
  for (const [index, minute] of all.entries()) if (index > 0) t.true(minute - all[index - 1]! >= 5, String(minute))
})

test('alarms – each that is set is for a task of the function that has alarms', (t) => {
  let looked = 0
  for (const { name } of everyFunction) {
    const folder = join(import.meta.dirname, name)
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts') || file.endsWith('.test.ts') || file.includes('node_modules')) continue
      const text = readFileSync(join(folder, file), 'utf8')
      for (const [, task = ''] of text.matchAll(/\b(?:alarms\.(?:set|beforeCommit)|context\.alarm)\(\s*'([^']+)'/g)) {
        looked++
        t.true(withAlarm.has(`${name}/${task}`), `${name}/${file} sets an alarm for ${task}`)
      }
    }
  }
  t.true(looked >= 10, String(looked))
})

test('alarms – those that one function sets for another are for tasks that have alarms', (t) => {
  for (const task of [...accessWriters, measureStorage]) t.true(withAlarm.has(task), task)
})
