/** The command line of `scripts/deploy`: each step has its own options and its own help. */
import { parseArguments, type OptionTable, type Parsed } from '../lib/arguments.ts'
import { overlays, type Overlay } from './context.ts'
import { imageTools } from './function-images.ts'
import { infraKinds } from './infra.ts'

const common = {
  overlay: {
    type: 'string',
    default: 'local',
    choices: overlays,
    help: 'which installation: size, eventing, settings',
  },
  context: { type: 'string', placeholder: 'NAME', help: 'context of the kubeconfig; default: the current one' },
  kubeconfig: { type: 'string', placeholder: 'FILE', help: 'default: what kubectl takes (KUBECONFIG, ~/.kube/config)' },
  dryRun: { type: 'boolean', help: 'change nothing; the server checks what it can' },
  yes: { type: 'boolean', help: 'do not ask' },
  forceConflicts: { type: 'boolean', help: 'take over fields that somebody else changed' },
  timeoutSeconds: {
    type: 'integer',
    default: 300,
    minimum: 5,
    maximum: 3_600,
    help: 'longest wait for anything to become ready',
  },
  json: { type: 'boolean', help: 'the result as one JSON object on the last line (verify, status)' },
} as const satisfies OptionTable

const initFlags = {
  set: {
    type: 'list',
    placeholder: 'KEY=VALUE',
    whole: true,
    help: 'a setting of the ConfigMap stampede, for example log-level=debug; may be repeated',
  },
  newDataKeys: {
    type: 'boolean',
    help: 'make keys of personal data that are missing; only when nothing of persons was ever stored',
  },
} as const satisfies OptionTable

const infraFlags = {
  infra: {
    type: 'string',
    choices: infraKinds,
    help: 'Redis, Kafka, MariaDB in the cluster or elsewhere; default: external when addresses are given',
  },
  redisUrl: {
    type: 'string',
    placeholder: 'URL',
    help: 'better: REDIS_URL in the environment, options are seen by others',
  },
  kafkaBrokers: { type: 'string', placeholder: 'HOST:PORT,…', help: 'or KAFKA_BROKERS' },
  databaseUrl: { type: 'string', placeholder: 'URL', help: 'better: DATABASE_URL in the environment' },
} as const satisfies OptionTable

const imageFlags = {
  images: { type: 'string', choices: imageTools, help: 'what builds images; default: the first that is there' },
  registry: {
    type: 'string',
    placeholder: 'HOST/PATH',
    help: 'where images are pushed, for example registry.example.com/shop',
  },
  image: {
    type: 'list',
    placeholder: 'NAME=IMAGE',
    help: 'an image that is there already; with --images given for all',
  },
  skipBuild: { type: 'boolean', help: 'take the bundles as they are' },
} as const satisfies OptionTable

const servicesFlags = {
  ...imageFlags,
  only: { type: 'list', placeholder: 'NAME,…', help: 'only these functions' },
  with: {
    type: 'string',
    default: 'manifests',
    choices: ['manifests', 'func'],
    help: 'func: by "func deploy", with what func.yaml can say',
  },
} as const satisfies OptionTable

const gatewayFlags = {
  domain: { type: 'string', placeholder: 'NAME', help: 'the public name of the shop' },
} as const satisfies OptionTable

const verifyFlags = {
  ...gatewayFlags,
  ingress: { type: 'string', placeholder: 'HOST:PORT', help: 'address of the ingress; default: found' },
  tokenCommand: {
    type: 'string',
    placeholder: 'COMMAND',
    help: 'prints an access token for STAMPEDE_USER with STAMPEDE_ROLES; where the cluster has no signing key',
  },
  waitSeconds: {
    type: 'integer',
    default: 60,
    minimum: 1,
    maximum: 600,
    help: 'longest wait for one thing in the trial',
  },
} as const satisfies OptionTable

const cleanupFlags = {
  data: { type: 'boolean', help: 'the data volumes and the keys of personal data, too' },
} as const satisfies OptionTable

const everything = {
  ...common,
  ...initFlags,
  ...infraFlags,
  ...servicesFlags,
  ...gatewayFlags,
  ...verifyFlags,
  ...cleanupFlags,
} as const
export type DeployOptions = Omit<
  Parsed<typeof everything>,
  'overlay' | 'images' | 'infra' | 'with' | 'context' | 'kubeconfig'
> & {
  overlay: Overlay
  images: (typeof imageTools)[number] | undefined
  infra: (typeof infraKinds)[number] | undefined
  with: 'manifests' | 'func'
  context: string | undefined
  kubeconfig: string | undefined
}

export const steps = {
  init: {
    summary: 'Checks the cluster; makes namespace, accounts, quotas, network policies, settings, keys.',
    flags: initFlags,
  },
  infra: {
    summary: 'Redis, Kafka and MariaDB: in the cluster, or the addresses of those elsewhere.',
    flags: infraFlags,
  },
  eventing: {
    summary: 'Broker, Triggers, sources and sinks; with the overlay local the engine that stands in.',
    flags: imageFlags,
  },
  services: { summary: 'Builds images, deploys the functions, waits until each answers.', flags: servicesFlags },
  gateway: { summary: 'The public name of the shop, which leads to the function gateway.', flags: gatewayFlags },
  monitoring: { summary: 'Monitors for Prometheus, where its operator is.', flags: {} },
  verify: {
    summary: 'Makes a sale with one purchase along the route and follows it to the stored order.',
    flags: verifyFlags,
  },
  status: { summary: 'What runs, in one page.', flags: {} },
  cleanup: {
    summary: 'Takes away what was deployed; data volumes and keys of personal data stay unless --data.',
    flags: cleanupFlags,
  },
  all: {
    summary: 'init, infra, eventing, services, gateway (with --domain), monitoring, verify.',
    flags: { ...initFlags, ...infraFlags, ...imageFlags, ...gatewayFlags, ...verifyFlags },
  },
} as const satisfies Record<string, { summary: string; flags: OptionTable }>
export type Step = keyof typeof steps

const isStep = (word: string | undefined): word is Step => word !== undefined && Object.hasOwn(steps, word)

/** Parses; prints a help and exits 0, or what is wrong and exits 2. */
export function deployCommand(argv: readonly string[]): { step: Step; options: DeployOptions } {
  const [word, ...rest] = argv
  if (word === '--help' || word === '-h' || word === 'help') {
    process.stdout.write(overview())
    return process.exit(0)
  }
  if (!isStep(word)) {
    process.stderr.write(`${word === undefined ? 'Which step?' : `There is no step "${word}".`}\n\n${overview()}`)
    return process.exit(2)
  }
  const parsed = parseArguments(descriptionOf(word), rest)
  return { step: word, options: { ...defaults(), ...parsed } as DeployOptions }
}

export function descriptionOf(step: Step) {
  const { summary, flags } = steps[step]
  return { command: `scripts/deploy ${step}`, summary, flags: { ...flags, ...common }, notes: notesOf(step) }
}

/** What a step does not take has its default. */
const defaults = () => ({
  set: [],
  image: [],
  only: [],
  skipBuild: false,
  with: 'manifests',
  data: false,
  newDataKeys: false,
  waitSeconds: 60,
})

export function overview(): string {
  const width = Math.max(...Object.keys(steps).map((name) => name.length))
  return [
    'scripts/deploy STEP [options]',
    '',
    'Deploys Stampede to the Knative that kubectl leads to. Every step may be repeated.',
    '',
    ...Object.entries(steps).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Options of a step: scripts/deploy STEP --help. Everything in order: scripts/deploy all. More: DEPLOYMENT.md',
    '',
  ].join('\n')
}

function notesOf(step: Step): string[] {
  switch (step) {
    case 'init':
      return [
        'Environment: AUTH_JWKS_URL, AUTH_ISSUER, AUTH_AUDIENCE of the identity provider (needed for production); SERVICE_SECRET and',
        'PASS_KEYS are made when absent. Keys that are stored are kept. DATA_KEYS, INDEX_KEY, AUDIT_KEY are made once, before there is a',
        'database, and not again; to put them back or replace them give them in the environment.',
      ]
    case 'infra':
      return ['Environment: REDIS_URL, KAFKA_BROKERS, DATABASE_URL, as pods see them.']
    case 'services':
    case 'eventing':
      return [
        "Environment: IMAGE_COMMAND='… {folder} {name}' for --images command; it prints the image's name as its last line.",
      ]
    case 'all':
      return [
        'Environment: REDIS_URL, KAFKA_BROKERS, DATABASE_URL, AUTH_JWKS_URL, AUTH_ISSUER, AUTH_AUDIENCE, IMAGE_COMMAND; see the steps.',
      ]
    default:
      return []
  }
}
