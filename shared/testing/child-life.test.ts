import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'

/** A process with a child that never ends by itself; resolves when both are there. */
async function startPair(end: string) {
  const module = new URL('./child-life.ts', import.meta.url).href
  const parent = spawn(process.execPath, [
    '--input-type=module',
    '--eval',
    `import { spawn } from 'node:child_process'
     import { endedByKernel, endsWithThisProcess } from '${module}'
     const child = spawn(...endedByKernel(process.execPath, ['--eval', 'console.log(process.pid); setInterval(() => {}, 1000)']), {
       stdio: ['ignore', 'inherit', 'inherit'],
     })
     endsWithThisProcess(child)
     process.stdin.once('data', () => { ${end} })`,
  ])
  const [text] = (await once(parent.stdout, 'data')) as [Buffer]
  return { parent, child: Number(text.toString()) }
}

async function ended(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await sleep(20)
  }
}

for (const [how, end] of [
  ['killed', ''],
  ['at its end', 'process.exit(3)'],
  ['broken', 'throw new Error("broken for the test")'],
] as const) {
  test(`children – a process that is ${how} takes its child along`, async (t) => {
    const { parent, child } = await startPair(end)
    t.notThrows(() => process.kill(child, 0))
    const gone = once(parent, 'exit')
    if (end === '') parent.kill('SIGKILL')
    else parent.stdin.write('end\n')
    await gone
    await ended(child)
    t.pass()
  })
}
