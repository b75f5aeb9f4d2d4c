/** The part of kafkajs' insides that `calm-queue.ts` mends. */
declare module 'kafkajs/src/network/requestQueue/index.js' {
  export default class RequestQueue {
    pending: unknown[]
    scheduleCheckPendingRequests: (this: RequestQueue) => void
    checkPendingRequests: (this: RequestQueue) => void
  }
}
