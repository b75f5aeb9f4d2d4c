import { createPublisher } from '@stampede/shared/events/publish.ts'
import type { CloudEvent } from '@stampede/shared/events/cloud-event.ts'
import type { BrokerUnderTest } from './broker-under-test.ts'
import { typePrefix } from './manifests.ts'

/** An event of the suite; its id begins with the run, so that what an earlier run left behind is not taken for this one's. */
export function makeEvent(
  broker: BrokerUnderTest,
  type: string,
  name: string,
  more: Partial<CloudEvent> = {},
): CloudEvent {
  return {
    specversion: '1.0',
    id: `${broker.run}-${type}-${name}`,
    source: '/conformance',
    type: typePrefix + type,
    data: { name },
    ...more,
  }
}

/** Publishes and gives back what was published. */
export async function publish(broker: BrokerUnderTest, event: CloudEvent): Promise<CloudEvent> {
  await createPublisher({ sink: broker.ingressUrl, timeoutMs: 30_000 })(event)
  return event
}
