/** Server-sent events on a raw response, with the limits they need. */
import type { ServerResponse } from 'node:http'

export type EventStream = {
  /** One event; dropped when the client reads too slowly: the next one is newer anyway. */
  send(name: string, data: unknown): void
  sendText(text: string): void
  end(): void
}

/** A client that has not read this much is skipped. */
const maximumBufferedBytes = 65_536

/** How long browsers wait before they come back, told at once: they keep it when this process ends. */
const retryMs = 1_000

export function openEventStream(response: ServerResponse): EventStream {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  response.write(`retry: ${retryMs}\n\n`)
  const sendText = (text: string): void => {
    if (response.destroyed || response.writableEnded || response.writableLength > maximumBufferedBytes) return
    response.write(text)
  }
  return {
    sendText,
    send: (name, data) => sendText(eventText(name, data)),
    end: () => {
      if (!response.writableEnded) response.end()
    },
  }
}

export function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

export function wantsEventStream(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes('text/event-stream')
}
