/**
 * kafkajs 2.2.4 looks for pending requests again and again, every millisecond and for each connection, although there are none: after
 * each look it plans the next one at a time that has passed (https://github.com/tulios/kafkajs/issues/1704). A consumer that has
 * nothing to do takes 4 % of a core in this way. What waits because of a limit is looked at when it is put there and when an answer
 * comes, so that without anything that waits no look is needed.
 */
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'

const planned = RequestQueue.prototype.scheduleCheckPendingRequests
let isCalm = false

/** For all clients of this process; may be called again. */
export function calmRequestQueues(): void {
  if (isCalm) return
  isCalm = true
  RequestQueue.prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0) planned.call(this)
  }
}
