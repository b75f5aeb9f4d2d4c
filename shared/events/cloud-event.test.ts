import test from 'ava'
import * as fc from 'fast-check'
import {
  checkAttributes,
  dataOf,
  fromMessage,
  isJsonMediaType,
  parseStructured,
  toMessage,
  type CloudEvent,
} from './cloud-event.ts'
import { decodeHeader, encodeHeader, fromHttp, toHttp } from './http-binding.ts'

const whole = { specversion: '1.0', id: '1', source: '/x', type: 'a.b' }

test('checkAttributes – accepts the required attributes and extensions', (t) => {
  t.deepEqual(checkAttributes({ ...whole, time: '2026-01-02T03:04:05.678+01:00', partitionkey: 'ü', x1: '' }), [])
})

const wrong: [string, Record<string, string>][] = [
  ['no specversion', { id: '1', source: '/x', type: 'a' }],
  ['another specversion', { ...whole, specversion: '0.3' }],
  ['an empty id', { ...whole, id: '' }],
  ['an upper-case name', { ...whole, userId: '1' }],
  ['a name of an object member', { ...whole, ['__proto__x']: '1' }],
  ['NUL', { ...whole, subject: 'a\u0000' }],
  ['a line feed', { ...whole, subject: 'a\nb' }],
  ['a lone surrogate', { ...whole, subject: 'a\ud800' }],
  ['a value that is too long', { ...whole, subject: 'a'.repeat(4_097) }],
  [
    'too many attributes',
    { ...whole, ...Object.fromEntries(Array.from({ length: 70 }, (_, index) => [`x${index}`, ''])) },
  ],
  ['a date without a time', { ...whole, time: '2026-01-02' }],
  ['a moment that does not exist', { ...whole, time: '2026-13-02T03:04:05Z' }],
]
for (const [what, attributes] of wrong) {
  test(`checkAttributes – finds ${what}`, (t) => {
    t.is(checkAttributes(attributes).length, 1)
  })
}

test('isJsonMediaType – knows JSON by its name and its suffix', (t) => {
  for (const type of ['application/json', 'text/json', 'application/problem+json; charset=utf-8', 'APPLICATION/JSON'])
    t.true(isJsonMediaType(type), type)
  for (const type of [undefined, 'text/plain', 'application/jsonp', 'text/plain; x=/json'])
    t.false(isJsonMediaType(type), type)
})

test('structured mode – text, JSON and bytes become the bytes of binary mode', (t) => {
  const read = (more: object) => parseStructured(Buffer.from(JSON.stringify({ ...whole, ...more })))
  t.is(read({ data: { a: 1 } }).data?.toString(), '{"a":1}')
  t.is(read({ data: { a: 1 } }).attributes['datacontenttype'], 'application/json')
  t.is(read({ data: 'text' }).data?.toString(), '"text"')
  t.is(read({ data: 'text', datacontenttype: 'text/plain' }).data?.toString(), 'text')
  t.deepEqual(read({ data_base64: 'AP8=' }).data, Buffer.from([0, 255]))
  t.is(read({}).data, undefined)
  t.is(read({ subject: null }).attributes['subject'], undefined)
  t.is(read({ sequence: 5, flag: true }).attributes['sequence'], '5')
})

test('structured mode – refuses what is no object and attributes that are objects', (t) => {
  for (const text of ['[]', '1', 'null', '{"id":{}}', '{"data_base64":1}', '{"data":1,"data_base64":"AA=="}']) {
    t.throws(() => parseStructured(Buffer.from(text)), { instanceOf: TypeError }, text)
  }
  t.throws(() => parseStructured(Buffer.from('{')), { instanceOf: SyntaxError })
})

test('fromMessage – gives back the event of toMessage', (t) => {
  const event: CloudEvent = { ...whole, specversion: '1.0', datacontenttype: 'application/json', data: { a: ['ü'] } }
  t.deepEqual(fromMessage(toMessage(event)), event)
  t.is(dataOf({ attributes: { datacontenttype: 'text/plain' }, data: Buffer.from('x') }), 'x')
})

test('encodeHeader – any text comes back, and what goes over the wire is printable ASCII', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeHeader(text)
      return /^[!#-~]*$/.test(encoded) && decodeHeader(encoded) === text
    }),
  )
  t.is(encodeHeader('a "50 %" ü'), 'a%20%2250%20%25%22%20%C3%BC')
  t.is(decodeHeader('100%'), '100%')
})

test('HTTP binding – binary mode comes back, and the trace context travels as its own header too', (t) => {
  const message = {
    attributes: { ...whole, subject: 'Füße', traceparent: '00-a-b-01', datacontenttype: 'text/plain' },
    data: Buffer.from('x'),
  }
  const { headers, body } = toHttp(message)
  t.is(headers['traceparent'], '00-a-b-01')
  t.is(headers['content-length'], '1')
  t.deepEqual(fromHttp(headers, body), { kind: 'event', message })
})

test('HTTP binding – tells requests without an event from modes it does not support', (t) => {
  t.is(fromHttp({ 'content-type': 'application/json' }, Buffer.from('{}')).kind, 'none')
  t.is(fromHttp({ 'content-type': 'application/cloudevents-batch+json' }, Buffer.from('[]')).kind, 'unsupported')
  t.is(fromHttp({ 'content-type': 'application/cloudevents+json' }, Buffer.from('nonsense')).kind, 'invalid')
})
