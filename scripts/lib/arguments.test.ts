import test from 'ava'
import { ArgumentError, helpOf, readArguments } from './arguments.ts'

const description = {
  command: 'npm run try --',
  summary: 'Tries things.',
  flags: {
    buyers: { type: 'integer', default: 20, minimum: 1, help: 'buyers in the crowd' },
    seed: { type: 'integer', help: 'seed of the run' },
    once: { type: 'boolean', help: 'end after the report' },
    dataFolder: { type: 'string', default: '.data', help: 'where data goes' },
    only: { type: 'list', choices: ['redis', 'kafka'], help: 'only these' },
  },
} as const
const read = (...argv: string[]) => readArguments(description, argv)
const defaults = { buyers: 20, seed: undefined, once: false, dataFolder: '.data', only: [], positionals: [] }

test('arguments – defaults when nothing is given', (t) => {
  t.deepEqual(read(), defaults)
})

test('arguments – values after a space and after an equals sign', (t) => {
  t.deepEqual(
    read('--buyers', '1_000', '--seed=7', '--once', '--data-folder', '/x', '--only', 'redis,kafka', '--only=redis'),
    {
      ...defaults,
      buyers: 1000,
      seed: 7,
      once: true,
      dataFolder: '/x',
      only: ['redis', 'kafka', 'redis'],
    },
  )
})

test('arguments – values with commas stay whole where an option says so', (t) => {
  const flags = { set: { type: 'list', whole: true, help: 'a setting' } } as const
  t.like(readArguments({ ...description, flags }, ['--set', 'tenants=[{"id":"a","name":"b"}]', '--set=x=1,2']), {
    set: ['tenants=[{"id":"a","name":"b"}]', 'x=1,2'],
  })
})

test('arguments – help wins', (t) => {
  t.is(read('--once', '--help', '--unknown'), 'help')
  t.is(read('-h'), 'help')
})

for (const [condition, argv, message] of [
  [
    'an unknown option is refused with the nearest one',
    ['--buyer', '3'],
    /no option --buyer\. Did you mean --buyers\?.*npm run try -- --help/,
  ],
  ['an unknown option far from all is refused', ['--whatever'], /^There is no option --whatever\. See/],
  ['a word that means nothing is refused', ['twice'], /"twice" means nothing here/],
  ['a missing value is refused', ['--seed'], /--seed needs a value/],
  ['an option in place of a value is refused', ['--seed', '--once'], /--seed needs a value/],
  ['a flag takes no value', ['--once=yes'], /--once takes no value/],
  ['a number below the minimum is refused', ['--buyers', '0'], /whole number of at least 1, not "0"/],
  ['a number with a fraction is refused', ['--buyers', '1.5'], /whole number/],
  ['a text is no number', ['--buyers', 'many'], /whole number/],
  ['a choice that is not one is refused', ['--only', 'redis,mysql'], /takes redis, kafka, not "mysql"/],
] as const) {
  test(`arguments – ${condition}`, (t) => {
    t.throws(() => readArguments(description, argv), { instanceOf: ArgumentError, message })
  })
}

test('arguments – words are collected where they are allowed', (t) => {
  t.like(readArguments({ ...description, positionals: '<files>' }, ['a.ts', '--once', 'b.ts']), {
    once: true,
    positionals: ['a.ts', 'b.ts'],
  })
})

test('arguments – a command that npm does not start needs no dashes', (t) => {
  const own = { ...description, command: 'scripts/try once' }
  t.true(helpOf(own).includes('scripts/try once [options]'))
  t.throws(() => readArguments(own, ['--nothing']), { message: /See: scripts\/try once --help/ })
})

test('arguments – the help lists every option with its default', (t) => {
  const help = helpOf(description)
  for (const part of [
    'Tries things.',
    'npm run try -- [options]',
    '--buyers N',
    '(default 20)',
    '--data-folder TEXT',
    '--only redis|kafka',
    '--help',
  ]) {
    t.true(help.includes(part), part)
  }
})
