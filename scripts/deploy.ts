/**
 * `scripts/deploy <step>`: the platform on any Knative that a kubeconfig leads to. Each step may be repeated, and goes on where an
 * interrupted one ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { buildImage } from './building/images.ts'
import { connectKubectl } from './cluster/kubectl.ts'
import { deployCommand, type DeployOptions, type Step } from './deployment/command.ts'
import type { DeployContext } from './deployment/context.ts'
import { runStep } from './deployment/steps.ts'
import { runCommand } from './lib/run-command.ts'
import { confirm, isAtTerminal } from './lib/terminal.ts'

const { step, options }: { step: Step; options: DeployOptions } = deployCommand(process.argv.slice(2))

await runCommand(async ({ say }) => {
  const connection = {
    tell: say,
    ...(options.context === undefined ? {} : { context: options.context }),
    ...(options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig }),
  }
  const context: DeployContext = {
    kubectl: connectKubectl(connection),
    connection,
    overlay: options.overlay,
    dryRun: options.dryRun,
    forceConflicts: options.forceConflicts,
    timeoutMs: options.timeoutSeconds * 1_000,
    say,
    async confirm(question) {
      if (options.yes) return true
      if (isAtTerminal()) return confirm(question)
      say('Nobody can be asked here: say --yes to agree.')
      return false
    },
    environment: process.env,
    now: () => Date.now(),
    sleep,
  }
  return runStep(step, context, options, { buildImage, print: (line) => void process.stdout.write(`${line}\n`) })
})
