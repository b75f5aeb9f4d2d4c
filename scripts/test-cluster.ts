/**
 * `npm run test:cluster`: on the cluster that kubectl leads to, what only a cluster can show. It deploys, so it asks first.
 */
import { randomBytes } from 'node:crypto'
import { imageTools, type ImageTool } from './building/images.ts'
import { canaryPart } from './cluster-test/canary-part.ts'
import { deployPart, verifyPart } from './cluster-test/deploy-part.ts'
import { drainPart } from './cluster-test/drain-part.ts'
import { killsPart } from './cluster-test/kills-part.ts'
import { manifestsPart } from './cluster-test/manifests-part.ts'
import type { Part, PartContext } from './cluster-test/part.ts'
import { runParts } from './cluster-test/run-parts.ts'
import { scalePart } from './cluster-test/scale-part.ts'
import { connectKubectl, openKubeApi } from './cluster/kubectl.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { confirm, isAtTerminal } from './lib/terminal.ts'

const parts: readonly Part[] = [manifestsPart, deployPart, verifyPart, scalePart, canaryPart, drainPart, killsPart]
const names = parts.map(({ name }) => name)

const options = parseArguments({
  command: 'npm run test:cluster --',
  summary: 'Deploys to a cluster and sees there what only a cluster can show.',
  flags: {
    context: { type: 'string', placeholder: 'NAME', help: 'context of the kubeconfig; naming it is agreeing to it' },
    yes: { type: 'boolean', help: 'agree to the current context' },
    only: { type: 'list', choices: names, placeholder: 'NAME', help: 'only these parts' },
    deployed: { type: 'boolean', help: 'the platform is there already: leave out the part deploy' },
    images: {
      type: 'string',
      choices: imageTools,
      help: 'what makes images; default: command when IMAGE_COMMAND is set, else docker',
    },
    registry: { type: 'string', placeholder: 'HOST/PATH', help: 'where images are pushed' },
    ingress: { type: 'string', placeholder: 'HOST:PORT', help: 'where requests go, when it is not found' },
    namespace: { type: 'string', default: 'stampede', placeholder: 'NAME', help: 'where the platform is' },
  },
  notes: [
    'Parts, in their order:',
    ...parts.map(({ name, title }) => `  ${name.padEnd(10)} ${title}`),
    '',
    "Environment: REDIS_URL, KAFKA_BROKERS, DATABASE_URL as pods see them (else they run in the cluster); IMAGE_COMMAND='… {folder} {name}'.",
    'Trials run in a namespace of their own, which is deleted. The platform stays: take it away with scripts/deploy cleanup.',
    'The last line is "N passed, N failed". Exit code 1 when something failed.',
  ],
})

await runCommand(async ({ say, defer }) => {
  const connection = { tell: say, ...(options.context === undefined ? {} : { context: options.context }) }
  const kubectl = connectKubectl(connection)
  if (options.context === undefined && !options.yes) {
    const current = (await kubectl.run(['config', 'current-context'])).trim()
    const question = `This deploys Stampede and trials to the cluster of context "${current}". Go on?`
    if (!isAtTerminal() || !(await confirm(question))) {
      say(`Nothing was done: this deploys to the cluster of context "${current}". Agree with --yes or --context NAME.`)
      return 2
    }
  }
  const controller = new AbortController()
  defer(async () => controller.abort())
  const api = await openKubeApi(connection)
  defer(() => api.close())
  const trialNamespace = `stampede-trial-${randomBytes(3).toString('hex')}`
  defer(async () => {
    await kubectl.run(['delete', 'namespace', trialNamespace, '--ignore-not-found', '--wait=false'])
  })
  const command = process.env['IMAGE_COMMAND']
  const tool = (options.images ?? (command === undefined ? 'docker' : 'command')) as ImageTool
  const context: Omit<PartContext, 'check' | 'defer'> = {
    kubectl,
    connection,
    api,
    namespace: options.namespace,
    trialNamespace,
    ...(options.ingress === undefined ? {} : { ingress: options.ingress }),
    images: {
      tool,
      ...(options.registry === undefined ? {} : { registry: options.registry }),
      ...(command === undefined ? {} : { command }),
    },
    say,
    signal: controller.signal,
  }
  const chosen = parts.filter(
    ({ name }) =>
      (options.only.length === 0 || options.only.includes(name)) && !(options.deployed && name === deployPart.name),
  )
  const { passed, failed } = await runParts(chosen, context, (line) => void process.stdout.write(`${line}\n`), defer)
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return failed === 0 && passed > 0 ? 0 : 1
})
