/** What wakes a function that sleeps: something it has to do is due. */
import { z } from 'zod'
import { defineEvent } from './definition.ts'

const name = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/)

export const alarmDue = defineEvent({
  type: 'io.stampede.alarm.due.v1',
  source: '/functions/seckill',
  summary: 'A task of a function is due. It may come twice, and for nothing: the task looks what there is to do.',
  subject: 'the function that has the task',
  data: z.object({ function: name, task: name, dueAt: z.iso.datetime({ precision: 3 }) }),
  partitionKey: (data) => `${data.function}/${data.task}`,
})

export const alarmEvents = [alarmDue] as const
