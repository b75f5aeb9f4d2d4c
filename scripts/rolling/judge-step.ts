/** One step of a rollout: looks until the judge has a verdict, and says what it sees. */
import type { Waiting } from './await-revision.ts'
import { describeFigures, judge, type Limits } from './judge.ts'
import { since, type Figures } from './request-count.ts'
import type { Look, RevisionWatch } from './watch-revision.ts'
import { expectOwn } from './write-service.ts'

export type StepReport = {
  percent: number
  candidate: Figures
  stable: Figures
  verdict: 'good' | 'bad'
  /** Why it was bad, or why it was not judged. */
  reason?: string
}

type Sides<T> = { candidate: T; stable: T }

export type StepToJudge = {
  percent: number
  /** Its name. */
  candidate: string
  watches: Sides<RevisionWatch>
  /** What had been counted before the step. */
  marks: Sides<Look>
}

const lookEveryMs = 2_000
const sayEveryMs = 10_000

export async function judgeStep(
  { world, beat, signal }: Waiting,
  limits: Limits,
  { percent, candidate, watches, marks }: StepToJudge,
): Promise<StepReport> {
  const { cluster, clock, say, id } = world
  const beganMs = clock.nowMs()
  let saidMs = beganMs
  const faults = [...marks.candidate.faults]
  say(`${percent} % to ${candidate} …`)
  for (;;) {
    await beat()
    expectOwn(await cluster.readService(), id)
    const [own, old] = [await watches.candidate.look(), await watches.stable.look()]
    faults.push(...own.faults)
    const figures = since(marks.candidate.totals, own.totals)
    const elapsedMs = clock.nowMs() - beganMs
    const judged = judge({ figures, elapsedMs, complete: own.complete, faults }, limits)
    if (judged.verdict !== 'wait') {
      const before = since(marks.stable.totals, old.totals)
      const reason = judged.verdict === 'bad' ? judged.reason : judged.note
      const why = reason === undefined ? {} : { reason }
      say(
        `${percent} %: ${judged.verdict}. New ${describeFigures(figures)}; old ${describeFigures(before)}${reason === undefined ? '' : ` – ${reason}`}`,
      )
      return { percent, candidate: figures, stable: before, verdict: judged.verdict, ...why }
    }
    if (clock.nowMs() - saidMs >= sayEveryMs) {
      saidMs = clock.nowMs()
      const longer = elapsedMs >= limits.stepMs ? ', waiting for more' : ''
      say(`${percent} %: ${describeFigures(figures)} on ${own.pods} pods so far${longer}`)
    }
    await clock.sleep(lookEveryMs, signal)
  }
}
