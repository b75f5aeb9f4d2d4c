import test from 'ava'
import { brokerUnderTest, type BrokerUnderTest } from './broker-under-test.ts'
import { conformanceChecks } from './suite.ts'

let broker: BrokerUnderTest

test.before(async () => {
  broker = await brokerUnderTest()
})
test.after.always(async () => {
  await broker?.stop()
})

// One after the other: the checks share a broker, and one of them kills it.
for (const { title, localOnly, ordered, crashes, run } of conformanceChecks) {
  test.serial(title, async (t) => {
    if (localOnly && !broker.local) t.pass('only promised by the local engine')
    else if (ordered && !broker.ordered) t.pass('BROKER_ORDERED=no')
    else if (crashes && !broker.crash) t.pass('BROKER_CRASH_COMMAND is not given')
    else await t.notThrowsAsync(run(broker))
  })
}
