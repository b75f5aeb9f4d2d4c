/** Pods are taken away under load, and no request is cut. */
import type { Part } from './part.ts'
import { runScript } from './run-script.ts'

const drainWithinMs = 600_000

export const drainPart: Part = {
  name: 'drain',
  title: 'scaling down under load cuts no request',
  async run(context) {
    const { namespace, ingress, check } = context
    const words = [
      'observe',
      '--profile',
      'drain',
      '--takings',
      '2',
      '--rate',
      '20',
      '--namespace',
      namespace,
      '--json',
    ]
    const { exitCode, result } = await runScript(
      context,
      [...words, ...(ingress === undefined ? [] : ['--ingress', ingress])],
      { timeoutMs: drainWithinMs },
    )
    const requests = Number(result['requests'] ?? 0)
    const taken = Array.isArray(result['taken']) ? result['taken'].length : 0
    check('requests were sent and pods taken away', requests > 0 && taken > 0, `${requests} requests, ${taken} pods`)
    check('no request was cut, and none failed', exitCode === 0, `${Number(result['cutCount'])} cut`)
  },
}
