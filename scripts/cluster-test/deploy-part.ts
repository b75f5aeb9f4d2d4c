/** The platform is deployed with the overlay `local`, and a purchase goes through it to the stored order. */
import type { Part } from './part.ts'
import { runScript } from './run-script.ts'

const deployWithinMs = 1_200_000
const verifyWithinMs = 300_000

export const deployPart: Part = {
  name: 'deploy',
  title: 'the platform is deployed, and once more without a change',
  async run(context) {
    const { registry, tool, command } = context.images
    const words = [
      '--overlay',
      'local',
      '--yes',
      '--images',
      tool,
      ...(registry === undefined ? [] : ['--registry', registry]),
    ]
    const options = {
      timeoutMs: deployWithinMs,
      ...(command === undefined ? {} : { environment: { IMAGE_COMMAND: command } }),
    }
    const steps = ['init', 'infra', 'eventing', 'services', 'services']
    for (const [index, step] of steps.entries()) {
      const build = step === 'eventing' || step === 'services' ? words : words.slice(0, 3)
      const { exitCode } = await runScript(context, ['deploy', step, ...build], options)
      context.check(`scripts/deploy ${step}${steps.indexOf(step) < index ? ', repeated' : ''}`, exitCode === 0)
      if (exitCode !== 0) return
    }
  },
}

export const verifyPart: Part = {
  name: 'verify',
  title: 'a purchase is followed along the route to the stored order',
  async run(context) {
    const ingress = context.ingress === undefined ? [] : ['--ingress', context.ingress]
    const words = ['deploy', 'verify', '--overlay', 'local', ...ingress]
    const { exitCode } = await runScript(context, words, { timeoutMs: verifyWithinMs })
    context.check('scripts/deploy verify', exitCode === 0)
  },
}
