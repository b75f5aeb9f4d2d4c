/** The short form of `npm run fuzz`: the long one is the same with more cases. */
import test from 'ava'
import { fuzzCollection } from './fuzz-collection.ts'

const python = process.env['FUZZER_PYTHON']
/** Each operation gets a few; the coverage of its boundaries makes several thousand of them. */
const leastCases = 100

test('fuzz – no answer to what the OpenAPI document allows, or does not, is a server error or undocumented', async (t) => {
  t.timeout(600_000)
  if (python === undefined) {
    t.fail('FUZZER_PYTHON is not set; "npm test" installs the fuzzer and sets it')
    return
  }
  const { cases, failures, slices } = await fuzzCollection({
    python,
    cases: leastCases,
    seed: 1,
    say: (line) => t.log(line),
  })
  if (failures.length > 0) for (const { output } of slices) t.log(output)
  t.deepEqual(failures, [])
  t.true(cases >= leastCases, `${cases} cases`)
  t.deepEqual(slices.map(({ caller }) => caller).toSorted(), ['platform', 'public', 'service', 'staff', 'user'])
})
