/** What access says of a buyer, as answers of the hot path; made once. */
import type { AccessVerdict } from '@stampede/shared/access/types.ts'
import { accessProblem } from '@stampede/shared/function/authorise.ts'
import { problemAnswer, type Answer } from './answers.ts'

const answerOf = (verdict: Exclude<AccessVerdict, 'allowed'>): Answer => {
  const { problem, detail, retryAfterSeconds } = accessProblem(verdict)
  return problemAnswer(problem, detail, { retryAfterSeconds })
}

export const accessAnswers: Readonly<Record<Exclude<AccessVerdict, 'allowed'>, Answer>> = {
  'signed-out': answerOf('signed-out'),
  'tenant-suspended': answerOf('tenant-suspended'),
  forbidden: answerOf('forbidden'),
  unknown: answerOf('unknown'),
}
