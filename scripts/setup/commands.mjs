// @ts-check
/** What a person can type. The commands themselves are `scripts/<name>.ts`; each explains its options with `--help`. */

/** @type {Record<string, { summary: string, example: string }>} */
export const commands = {
  start: { summary: 'set everything up and run a sale that you can watch', example: 'npm start' },
  test: { summary: 'type check, lint and every test against real services', example: 'npm test' },
  bench: { summary: 'measure the speed and write the figures to a file', example: 'npm run bench' },
  drill: { summary: 'kill each part in the middle of a sale and count what was lost', example: 'npm run drill' },
  simulate: { summary: 'try the protocol in thousands of seeded orders of events', example: 'npm run simulate' },
  fuzz: {
    summary: 'send what the OpenAPI document allows, and what it does not, to every function',
    example: 'npm run fuzz',
  },
  services: { summary: 'keep Redis, MariaDB and Kafka up for development', example: 'npm run services -- up' },
  build: { summary: 'bundle each function into its own folder, ready to deploy', example: 'npm run build' },
  deploy: {
    summary: 'put the platform on a Knative cluster, step by step or all at once',
    example: 'scripts/deploy all',
  },
  rollout: {
    summary: 'give a new image of a function a rising share of the traffic',
    example: 'scripts/rollout <function> --to <image>',
  },
  observe: {
    summary: 'drive load through the route of a cluster and plot what the cluster does',
    example: 'npm run observe -- --profile sale',
  },
  'dead-letters': {
    summary: 'show the events that no consumer took, and send them again',
    example: 'npm run dead-letters',
  },
  configuration: {
    summary: 'check configuration documents before they are applied, or show what they come to',
    example: 'npm run configuration -- check',
  },
  'audit-verify': {
    summary: 'verify that the audit records are those that were recorded',
    example: 'npm run audit:verify',
  },
  'test-matrix': {
    summary: 'ask every route as everybody whom it must refuse',
    example: 'npm run test:matrix',
  },
  'test-cluster': {
    summary: 'deploy to a cluster and see there what only a cluster can show',
    example: 'npm run test:cluster',
  },
  generate: { summary: 'write the generated files again', example: 'npm run generate' },
  lint: { summary: 'type check, lint and check the format', example: 'npm run lint' },
  format: { summary: 'format the sources', example: 'npm run format' },
}

/** The list of all commands, for people. */
export function listOfCommands() {
  const width = Math.max(...Object.values(commands).map(({ example }) => example.length))
  const lines = Object.values(commands).map(({ example, summary }) => `  ${example.padEnd(width)}   ${summary}`)
  return ['Commands:', '', ...lines, '', 'Each takes --help, for example: npm start -- --help'].join('\n')
}
