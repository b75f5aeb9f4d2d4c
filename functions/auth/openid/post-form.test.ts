import http from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { createPostForm, isPublicAddress } from './post-form.ts'

test('post – only addresses of the public network are reached', async (t) => {
  for (const address of [
    '127.0.0.1',
    '10.1.2.3',
    '192.168.1.1',
    '172.16.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::',
    '224.0.0.1',
    '64:ff9b::a00:1',
  ])
    t.false(isPublicAddress(address), address)
  for (const address of ['93.184.216.34', '2606:2800:220:1::1']) t.true(isPublicAddress(address), address)
  const post = createPostForm({ privateAddresses: 'refused' })
  for (const url of [
    'http://example.com/',
    'http://127.0.0.1:1/',
    'https://127.0.0.1:1/',
    'https://[::1]:1/',
    'https://10.0.0.1/',
  ])
    await t.throwsAsync(post(url, {}), { message: /not reached over https|not in the public network/ }, url)
})

test('post – a name that points inside is not followed, wherever it pointed before', async (t) => {
  let asked = 0
  const lookup = ((_name: string, _options: object, done: (error: null, addresses: object[]) => void) => {
    asked += 1
    done(null, [{ address: '127.0.0.1', family: 4 }])
  }) as never
  const post = createPostForm({ privateAddresses: 'refused', lookup })
  await t.throwsAsync(post('https://inside.example/', {}), { message: /no address in the public network/ })
  t.is(asked, 1)
})

test('post – sends the form; redirects are not followed and anything but 200 and 204 is a failure', async (t) => {
  const bodies: string[] = []
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      bodies.push(body)
      response.writeHead(Number(request.url?.slice(1)), { location: '/200' }).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const post = createPostForm({ privateAddresses: 'allowed' })
  await post(`${url}/200`, { logout_token: 'a b' })
  await post(`${url}/204`, {})
  for (const status of [302, 400, 500]) await t.throwsAsync(post(`${url}/${status}`, {}), { message: /answered/ })
  t.is(bodies[0], 'logout_token=a+b')
  t.is(bodies.length, 5)
})
