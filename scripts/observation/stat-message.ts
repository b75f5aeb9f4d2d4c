/**
 * What each queue-proxy tells the autoscaler, on port 9090 of its pod: a protobuf message `Stat` (knative/serving,
 * pkg/autoscaler/metrics/stat.proto). It is always there, whatever is configured for metrics.
 */
export type Stat = {
  podName: string
  /** Average over the last second. */
  concurrency: number
  requestsPerSecond: number
}

const fields = { podName: 1, averageConcurrentRequests: 2, requestCount: 4 } as const

/** Undefined when this is no such message. Zeros are not on the wire. */
export function readStat(bytes: Uint8Array): Stat | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const stat: Stat = { podName: '', concurrency: 0, requestsPerSecond: 0 }
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 1; at < bytes.length; shift *= 128) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * shift
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  while (at < bytes.length) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0:
        if (Number.isNaN(varint())) return undefined
        break
      case 1: {
        if (at + 8 > bytes.length) return undefined
        const value = view.getFloat64(at, true)
        at += 8
        if (field === fields.averageConcurrentRequests) stat.concurrency = value
        else if (field === fields.requestCount) stat.requestsPerSecond = value
        break
      }
      case 2: {
        const length = varint()
        if (!(at + length <= bytes.length)) return undefined
        if (field === fields.podName) stat.podName = new TextDecoder().decode(bytes.subarray(at, at + length))
        at += length
        break
      }
      case 5:
        at += 4
        break
      default:
        return undefined
    }
  }
  return stat.podName === '' ? undefined : stat
}
