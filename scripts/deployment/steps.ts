/** Runs a step, or all of them in their order. */
import { join } from 'node:path'
import { runProgram } from '../cluster/run-program.ts'
import { repositoryFolder } from '../sale/child.ts'
import { cleanup } from './cleanup.ts'
import type { DeployOptions, Step } from './command.ts'
import { DeployError, commandLine, type DeployContext } from './context.ts'
import { eventing } from './eventing.ts'
import type { BuildImage, ImageOptions } from './function-images.ts'
import { infra } from './infra.ts'
import { init } from './init.ts'
import { gateway, monitoring } from './optional-steps.ts'
import { services } from './services.ts'
import { status } from './status.ts'
import { tokensFor } from './verify-tokens.ts'
import { verify } from './verify.ts'

export type StepEffects = { buildImage: BuildImage; print: (line: string) => void }

const buildWithinMs = 300_000

/** Returns the exit code. */
export async function runStep(
  step: Step,
  context: DeployContext,
  options: DeployOptions,
  { buildImage, print }: StepEffects,
): Promise<number> {
  let bundled = false
  const images: ImageOptions = {
    images: options.images,
    registry: options.registry,
    given: options.image,
    skipBuild: options.skipBuild,
    buildImage,
    async buildBundles() {
      // Once for the engine and the functions together.
      if (bundled) return
      context.say('Bundling the functions …')
      await buildBundles()
      bundled = true
    },
  }
  const run: Record<Exclude<Step, 'all'>, () => Promise<number>> = {
    init: () => done(init(context, { settings: options.set, newDataKeys: options.newDataKeys })),
    infra: () => done(infra(context, options)),
    eventing: () => done(eventing(context, images)),
    services: () => done(services(context, { ...images, only: options.only, with: options.with })),
    gateway: () => done(gateway(context, options.domain)),
    monitoring: () => done(monitoring(context)),
    cleanup: () => done(cleanup(context, { data: options.data })),
    async verify() {
      if (context.dryRun) {
        context.say('would make a sale with one purchase and follow it')
        return 0
      }
      const report = await verify(context, {
        ingress: options.ingress,
        domain: options.domain,
        tokenFor: await tokensFor(context, options.tokenCommand),
        waitMs: options.waitSeconds * 1_000,
      })
      context.say(report.ok ? 'Everything works.' : 'Something does not work: see above.')
      if (options.json) print(JSON.stringify(report))
      return report.ok ? 0 : 1
    },
    async status() {
      const found = await status(context, options.json ? context.say : print)
      if (options.json) print(JSON.stringify(found ?? {}))
      return 0
    },
  }
  if (step !== 'all') return run[step]()

  const order: Exclude<Step, 'all'>[] = ['init', 'infra', 'eventing', 'services']
  if (options.domain !== undefined) order.push('gateway')
  order.push('monitoring', 'verify')
  for (const [index, name] of order.entries()) {
    context.say(`── ${index + 1}/${order.length} ${name}`)
    let code: number
    try {
      code = await run[name]()
    } catch (error) {
      throw goingOn(context, name, error)
    }
    if (code !== 0) return code
  }
  return 0
}

const done = async (work: Promise<unknown>): Promise<number> => {
  await work
  return 0
}

/** All that was done stays done: the same command goes on from here. */
function goingOn(context: DeployContext, step: Step, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  return new DeployError(
    `The step ${step} did not succeed.\n${message}\nWhen that is mended, run the same command again, or only this step: ${commandLine(context, step)}`,
    { cause: error },
  )
}

async function buildBundles(): Promise<void> {
  const result = await runProgram(process.execPath, [join(repositoryFolder, 'scripts', 'build.ts')], {
    timeoutMs: buildWithinMs,
    folder: repositoryFolder,
  })
  if (result.exitCode !== 0) throw new DeployError(`npm run build failed:\n${result.stderr.trim().slice(-2_000)}`)
}
