/**
 * `npm run observe`: load along the route of a real cluster, and what the cluster does under it, each second.
 */
import { writeFile, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { connectKubectl, openKubeApi } from './cluster/kubectl.ts'
import { send } from './cluster/send.ts'
import { describeCommit, describeMachine } from './bench/machine.ts'
import { buildImage, imageTools, type ImageTool } from './building/images.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { createClusterWatch } from './observation/cluster-watch.ts'
import { createRoutes, loadOrders, openLedger, prepareClusterSale, readSaleKeys } from './observation/cluster-sale.ts'
import { coldStartLines, runColdStarts } from './observation/cold-start.ts'
import { drainLines } from './observation/drain.ts'
import { Gaps } from './observation/gaps.ts'
import { LiveView } from './observation/live-view.ts'
import { fileStem, writeObservation, writeTable } from './observation/output.ts'
import { salePlan, steadyPlan } from './observation/phases.ts'
import { startRecorder } from './observation/record.ts'
import { runDrain } from './observation/run-drain.ts'
import { runLoad } from './observation/run-load.ts'
import { startLoad } from './observation/load-handle.ts'
import { summaryLines } from './observation/summary.ts'
import { repositoryFolder } from './sale/child.ts'

const whole = (fallback: number, maximum: number, help: string) =>
  ({ type: 'integer', default: fallback, minimum: 0, maximum, help }) as const

const options = parseArguments({
  command: 'npm run observe --',
  summary: 'Drives load along the route of a cluster and records what the cluster does, each second.',
  flags: {
    profile: {
      type: 'string',
      default: 'sale',
      choices: ['sale', 'steady', 'cold-start', 'drain'],
      help: 'what to look at (see below)',
    },
    out: { type: 'string', default: '.stampede/observations', placeholder: 'FOLDER', help: 'where the files go' },
    json: { type: 'boolean', help: 'print the summary as one JSON object on the last line' },
    namespace: { type: 'string', default: 'stampede', placeholder: 'NAME', help: 'where the platform is' },
    context: { type: 'string', placeholder: 'NAME', help: 'of the kubeconfig' },
    ingress: { type: 'string', placeholder: 'HOST:PORT', help: 'where requests go, when it cannot be found' },
    stock: { type: 'integer', default: 3_000, minimum: 1, maximum: 10_000_000, help: 'units of the sale' },
    buckets: { type: 'integer', default: 1, minimum: 1, maximum: 64, help: 'parts the stock is split into' },
    warmRate: whole(20, 100_000, 'requests a second in phase warm'),
    warmSeconds: whole(10, 3_600, 'length of phase warm'),
    burstRate: whole(400, 100_000, 'requests a second in phase burst'),
    burstSeconds: whole(10, 3_600, 'length of phase burst'),
    plateauRate: whole(100, 100_000, 'requests a second in phase plateau'),
    plateauSeconds: whole(20, 3_600, 'length of phase plateau'),
    endSeconds: whole(5, 3_600, 'length of phase end, in which the rate falls to zero'),
    rate: { type: 'integer', default: 50, minimum: 1, maximum: 100_000, help: 'requests a second of steady and drain' },
    seconds: { type: 'integer', default: 60, minimum: 1, maximum: 7_200, help: 'length of steady' },
    connections: {
      type: 'integer',
      default: 128,
      minimum: 1,
      maximum: 10_000,
      help: 'connections of the load generator',
    },
    startsIn: whole(15, 3_600, 'seconds from the preparation to the start of the sale'),
    fromMinimum: { type: 'boolean', help: 'wait before the load until every function is at its minimum of pods' },
    downWithin: whole(900, 7_200, 'seconds that functions may take back to their minimum'),
    storedWithin: whole(120, 3_600, 'seconds that orders may take to be stored'),
    rounds: { type: 'integer', default: 3, minimum: 1, maximum: 50, help: 'rounds of cold-start' },
    functions: {
      type: 'list',
      placeholder: 'NAME',
      help: 'only these functions in cold-start; default: all of the namespace',
    },
    path: { type: 'string', default: '/health/liveness', help: 'what cold-start asks for' },
    imageTool: {
      type: 'string',
      choices: imageTools,
      help: 'makes the image of hello for cold-start; default: command when IMAGE_COMMAND is set',
    },
    registry: { type: 'string', help: 'where the image of hello is pushed to' },
    helloImage: { type: 'string', placeholder: 'IMAGE', help: 'image of hello, when there is one' },
    takings: { type: 'integer', default: 4, minimum: 1, maximum: 100, help: 'how often drain takes pods away' },
    every: { type: 'integer', default: 10, minimum: 1, maximum: 600, help: 'seconds between two takings' },
  },
  notes: [
    'Profiles:',
    '  sale        a whole sale: warm, burst, plateau, end; then until its orders are stored and the pods are gone again',
    '  steady      a constant rate, to watch scaling up and down',
    '  cold-start  the first answer from zero pods, each function and a hello function of the same runtime in rounds',
    '  drain       a constant rate on a copy of seckill whose pods are taken away; every request has to be answered',
    '',
    'It needs kubectl with access to the cluster and, for the load, the Secret stampede-signing of trial clusters.',
    'The columns of the CSV file are described on the page beside it.',
  ],
})

await runCommand(async ({ say, defer }) => {
  const { namespace } = options
  const connection = { tell: say, ...(options.context === undefined ? {} : { context: options.context }) }
  const kubectl = connectKubectl(connection)
  const access = {
    kubectl,
    connection,
    namespace,
    ...(options.ingress === undefined ? {} : { ingress: options.ingress }),
  }
  const api = await openKubeApi(connection)
  defer(() => api.close())
  const routes = createRoutes(access)
  defer(() => routes.close())
  const folder = resolve(repositoryFolder, options.out)
  const commit = await describeCommit()
  const print = (lines: readonly string[], summary: unknown) => {
    process.stderr.write(`\n${lines.join('\n')}\n`)
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  }

  if (options.profile === 'cold-start') {
    const startedAtMs = Date.now()
    const services = await kubectl.json<{ items: { metadata: { name: string } }[] }>([
      '-n',
      namespace,
      'get',
      'services.serving.knative.dev',
      '-l',
      'app.kubernetes.io/component=function',
    ])
    const functions =
      options.functions.length > 0 ? options.functions : services.items.map(({ metadata }) => metadata.name)
    if (functions.length === 0)
      throw new Error(`There is no function in namespace ${namespace}. Next: scripts/deploy all`)
    const results = await runColdStarts(
      {
        kubectl,
        api,
        namespace,
        defer,
        say,
        get: async (service, path = options.path) => send(await routes.of(service), path, { timeoutMs: 120_000 }),
      },
      {
        functions,
        rounds: options.rounds,
        zeroWithinMs: options.downWithin * 1_000,
        helloImage: await helloImage(say),
      },
    )
    const summary = { profile: 'cold-start', path: options.path, commit, machine: describeMachine(), results }
    await mkdir(folder, { recursive: true })
    const file = join(folder, `${fileStem(startedAtMs, 'cold-start')}.json`)
    await writeFile(file, `${JSON.stringify(summary, undefined, 2)}\n`)
    say(`Figures: ${file}`)
    print(coldStartLines(results), summary)
    return 0
  }

  const keys = await readSaleKeys(access)
  if (options.profile === 'drain') {
    const { takings, every, rate, stock } = options
    const result = await runDrain(
      { access, api, routes, keys, defer, say },
      { takings, everySeconds: every, rate, stock },
    )
    print(drainLines(result), { profile: 'drain', commit, ...result })
    return result.cutCount + result.errors + result.oversold + result.lost + result.double === 0 ? 0 : 1
  }

  const gaps = new Gaps(say)
  const watch = createClusterWatch({ api, namespace, gaps })
  const view = new LiveView(process.stderr)
  const recorder = startRecorder({ watch, onSample: (samples) => view.draw(samples) })
  let written = false
  defer(async () => {
    recorder.stop()
    if (written || recorder.samples.length === 0) return
    say(`Table until here: ${await writeTable(folder, recorder.samples, options.profile)}`)
  })
  const plan = options.profile === 'sale' ? salePlan(options) : steadyPlan(options.rate, options.seconds)
  const summary = await runLoad(
    {
      profile: options.profile,
      plan,
      fromMinimum: options.fromMinimum,
      downWithinMs: options.downWithin * 1_000,
      storedWithinMs: options.storedWithin * 1_000,
    },
    {
      watch,
      recorder,
      say: (line) => {
        view.settle()
        say(line)
      },
      gaps: () => gaps.list(),
      prepareSale: () =>
        prepareClusterSale(routes, keys, {
          name: `Observed: ${options.profile}`,
          stock: options.stock,
          buckets: options.buckets,
          startsInMs: options.startsIn * 1_000,
          lengthMs: 3_600_000 * 4,
        }),
      startLoad: (sale, onSecond) =>
        startLoad(loadOrders(keys, sale, { plan, connections: options.connections }), onSecond),
      openLedger: (sale) => openLedger(routes, keys, sale.activityId),
    },
  )
  recorder.stop()
  written = true
  const files = await writeObservation(folder, recorder.samples, summary, {
    Commit: commit,
    Stock: String(options.stock),
    Load: plan
      .map(
        ({ name, seconds, rate, endRate }) =>
          `${name} ${rate}${endRate === undefined ? '' : ` to ${endRate}`}/s for ${seconds} s`,
      )
      .join(', '),
    Connections: String(options.connections),
  })
  say(`Table: ${files.csv}`)
  say(`Page: ${files.html}`)
  print(summaryLines(summary), { ...summary, commit })
  const { stored } = summary
  return stored !== undefined && stored.oversold + stored.lost + stored.double === 0 ? 0 : 1
})

async function helloImage(say: (line: string) => void): Promise<string | undefined> {
  if (options.helloImage !== undefined) return options.helloImage
  const command = process.env['IMAGE_COMMAND']
  const tool = (options.imageTool ?? (command === undefined ? undefined : 'command')) as ImageTool | undefined
  if (tool === undefined) {
    say('Without --image-tool, IMAGE_COMMAND or --hello-image there is no hello to compare with.')
    return undefined
  }
  say('Making the image of hello …')
  return buildImage({
    name: 'hello',
    folder: join(repositoryFolder, 'scripts', 'building', 'hello'),
    tool,
    registry: options.registry,
    command,
  })
}
