/**
 * A step that is awaited before a consumer joins its group (again). When Kafka asks the members to join again, each partition may
 * go to another process as soon as all have answered: whatever runs has to be finished and committed before that, else two
 * processes deliver events of one key at the same time, and the new one repeats what was settled. kafkajs only tells of a
 * rebalance (`consumer.rebalancing`) and goes on at once, and it leaves no place for work: its first step of a join is to ask for
 * the group's coordinator, of the cluster that it also hands to the assigner of partitions, and that is where this waits.
 */
import kafkajs, { type PartitionAssigner } from 'kafkajs'

type Coordinators = { findGroupCoordinator?: (request: { groupId: string }) => Promise<unknown> }

/** kafkajs' own assigner. @throws TypeError when kafkajs has changed so that it would not wait. */
export function assignerThatWaits(beforeJoin: () => Promise<void>): PartitionAssigner {
  return (config) => {
    const cluster = config.cluster as unknown as Coordinators
    const find = cluster.findGroupCoordinator?.bind(cluster)
    if (!find)
      throw new TypeError('this kafkajs asks for the coordinator in another way: rebalances would not be orderly')
    cluster.findGroupCoordinator = async (request) => {
      await beforeJoin()
      return find(request)
    }
    return kafkajs.PartitionAssigners.roundRobin(config)
  }
}
