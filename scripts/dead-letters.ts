/** `npm run dead-letters`: events that nobody took, and how to send them again once the cause is gone. */
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { readLetters, type DeadLetter } from './dead-letters/read-letters.ts'
import { originOf, sendAgain } from './dead-letters/send-again.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'

const options = parseArguments({
  command: 'npm run dead-letters --',
  summary: 'Shows the events that no consumer took, and sends them again.',
  flags: {
    brokers: { type: 'list', placeholder: 'HOST:PORT', help: 'of Kafka; default: KAFKA_BROKERS' },
    topic: { type: 'string', default: 'stampede.dead-letters', placeholder: 'NAME', help: 'where they are' },
    namespace: { type: 'string', default: 'stampede', placeholder: 'NAME', help: 'of the Broker "default"' },
    type: { type: 'string', placeholder: 'TYPE', help: 'only events of this type' },
    id: { type: 'list', placeholder: 'ID', help: 'only these events' },
    since: { type: 'string', placeholder: 'TIME', help: 'only what died after it, like 2026-11-11T10:00:00Z' },
    limit: { type: 'integer', default: 1_000, minimum: 1, maximum: 100_000, help: 'at most so many, the newest' },
    sendAgain: { type: 'boolean', help: 'put those that are shown back to where they came from' },
    json: { type: 'boolean', help: 'print each as one JSON object a line' },
  },
  notes: [
    'An event keeps its id: consumers that had it recognise it. A letter stays in its topic when it was sent again.',
    'Purchases go back to seckill.orders, everything else to the topic of the Broker, from where every subscriber gets it.',
  ],
})

const describe = ({ atMs, message: { attributes } }: DeadLetter): string =>
  [
    new Date(atMs).toISOString(),
    attributes['type'],
    attributes['id'],
    `subject ${attributes['subject'] ?? '-'}`,
    `to ${attributes['knativeerrordest'] ?? '?'}: ${attributes['knativeerrorcode'] ?? 'no answer'} ${attributes['knativeerrordata'] ?? ''}`.trimEnd(),
  ].join('  ')

await runCommand(async ({ say }) => {
  const { KAFKA_BROKERS } = process.env
  const brokers =
    options.brokers.length > 0 ? options.brokers : (KAFKA_BROKERS ?? '').split(',').filter((one) => one !== '')
  if (brokers.length === 0) {
    say('Where is Kafka? Set KAFKA_BROKERS or give --brokers host:port.')
    return 2
  }
  const sinceMs = options.since === undefined ? 0 : Date.parse(options.since)
  if (Number.isNaN(sinceMs)) {
    say(`--since is a time like 2026-11-11T10:00:00Z, not "${String(options.since)}".`)
    return 2
  }
  const kafka = createKafka({ brokers, clientId: 'stampede-dead-letters', retries: 5 })
  const { letters, omitted } = await readLetters(kafka, { topic: options.topic, limit: options.limit })
  const chosen = letters.filter(
    ({ atMs, message: { attributes } }) =>
      atMs >= sinceMs &&
      (options.type === undefined || attributes['type'] === options.type) &&
      (options.id.length === 0 || options.id.includes(attributes['id'] ?? '')),
  )
  for (const letter of chosen) {
    const { partition, offset, atMs, message } = letter
    const shown = options.json ? JSON.stringify({ partition, offset, atMs, ...message.attributes }) : describe(letter)
    process.stdout.write(`${shown}\n`)
  }
  if (omitted > 0) say(`${omitted} older ones were left out (--limit).`)
  say(`${chosen.length} of ${letters.length + omitted} dead letters.`)
  if (!options.sendAgain || chosen.length === 0) return 0
  const origins = {
    broker: `knative-broker-${options.namespace}-default`,
    sources: { 'io.stampede.purchase.accepted.v1': 'seckill.orders' },
  }
  const sent = await sendAgain(kafka, chosen, origins)
  say(`${sent} sent again, to ${[...new Set(chosen.map((letter) => originOf(letter, origins)))].join(', ')}.`)
  return 0
})
