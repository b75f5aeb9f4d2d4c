import test from 'ava'
import { lowStockType, scheduled, startStage } from './testing.ts'

let stage: Awaited<ReturnType<typeof startStage>>
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

test('reserve – 40 callers for 10 units: exactly 10 are reserved, the ledger adds up', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 10)
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      tenant.asService('POST', '/api/v1/reservations', {
        reservationId: `r-${index}`,
        variantId: 'phone',
        quantity: 1,
      }),
    ),
  )
  t.is(answers.filter(({ status }) => status === 200).length, 10)
  t.is(answers.filter(({ status }) => status === 422).length, 30)
  t.like(await tenant.look('phone'), { onHand: 10, reserved: 10, available: 0 })
  const { body } = await tenant.call('GET', '/api/v1/stocks/phone/movements?limit=200')
  const movements = body['movements'] as { onHandChange: number; reservedChange: number }[]
  t.is(
    movements.reduce((sum, movement) => sum + movement.reservedChange, 0),
    10,
  )
  t.is(
    movements.reduce((sum, movement) => sum + movement.onHandChange, 0),
    10,
  )
})

test('reserve – the same id 10 times at once: one reservation; with another quantity: conflict', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const body = { reservationId: 'same', variantId: 'phone', quantity: 5 }
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => tenant.asService('POST', '/api/v1/reservations', body)),
  )
  t.deepEqual(answers.map((answer) => answer.body['outcome'] as string).sort(), [
    ...Array.from({ length: 9 }, () => 'already-reserved'),
    'reserved',
  ])
  t.like(await tenant.look('phone'), { reserved: 5 })
  t.is((await tenant.asService('POST', '/api/v1/reservations', { ...body, quantity: 6 })).status, 409)
})

test('confirm and release – each once; the other afterwards is a conflict', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  for (const id of ['gone', 'back']) {
    await tenant.asService('POST', '/api/v1/reservations', { reservationId: id, variantId: 'phone', quantity: 5 })
  }
  const settle = async (path: string) => {
    const { status, body } = await tenant.asService('POST', `/api/v1/reservations/${path}`)
    return [status, body['outcome'] ?? body['code']]
  }
  t.deepEqual(await settle('gone/confirm'), [200, 'settled'])
  t.deepEqual(await settle('gone/confirm'), [200, 'already-settled'])
  t.deepEqual(await settle('gone/release'), [409, 'conflict'])
  t.deepEqual(await settle('back/release'), [200, 'settled'])
  t.deepEqual(await settle('back/release'), [200, 'already-settled'])
  t.deepEqual(await settle('nowhere/confirm'), [404, 'not-found'])
  t.like(await tenant.look('phone'), { onHand: 45, reserved: 0 })
})

test('adjust – needs the version that was seen; 10 at once: one wins', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const { version } = (await tenant.look('phone')) as { version: number }
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      tenant.call('PUT', '/api/v1/stocks/phone', { version, onHand: 60 + index, reason: 'count' }),
    ),
  )
  t.is(answers.filter(({ status }) => status === 200).length, 1)
  t.is(answers.filter(({ status, body }) => status === 409 && body['version'] === version + 1).length, 9)
})

test('adjust – fewer on hand than reserved: refused; unknown variant without version 0: not found', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  await tenant.asService('POST', '/api/v1/reservations', { reservationId: 'r', variantId: 'phone', quantity: 20 })
  const { version } = (await tenant.look('phone')) as { version: number }
  t.is((await tenant.call('PUT', '/api/v1/stocks/phone', { version, onHand: 19, reason: 'count' })).status, 422)
  t.is((await tenant.call('PUT', '/api/v1/stocks/none', { version: 3, onHand: 19, reason: 'count' })).status, 404)
  t.like(await tenant.look('phone'), { onHand: 50, reserved: 20, version })
})

test('low stock – told once when the stock falls below the threshold, again after it recovered', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 103)
  const reserveOne = (id: string, quantity: number) =>
    tenant.asService('POST', '/api/v1/reservations', { reservationId: id, variantId: 'phone', quantity })
  await reserveOne('r-1', 3)
  await reserveOne('r-2', 1)
  await reserveOne('r-3', 1)
  await stage.said()
  t.deepEqual(
    stage.published(tenant.tenantId, lowStockType).map((event) => [event.data['available'], event.data['threshold']]),
    [[99, 100]],
  )
  await tenant.asService('POST', '/api/v1/reservations/r-1/release')
  await reserveOne('r-4', 10)
  await stage.said()
  t.is(stage.published(tenant.tenantId, lowStockType).length, 2)
})

test('tenants – one sees and changes nothing of another', async (t) => {
  const [one, other] = [await stage.tenant(), await stage.tenant()]
  await one.stock('phone', 100)
  const terms = one.terms()
  await stage.deliver(scheduled(terms))
  await one.asService('POST', '/api/v1/reservations', { reservationId: 'r', variantId: 'phone', quantity: 0 })
  t.is((await other.call('GET', '/api/v1/stocks/phone')).status, 404)
  t.deepEqual((await other.call('GET', '/api/v1/stocks')).body['stocks'], [])
  t.deepEqual((await other.call('GET', '/api/v1/stocks/phone/movements')).body['movements'], [])
  t.is((await other.asService('GET', `/api/v1/allocations/${terms.activityId}`)).status, 404)
  t.is((await other.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).status, 404)
  t.is((await other.asService('POST', `/api/v1/reservations/r/release`)).status, 404)
  t.is((await other.call('PUT', '/api/v1/stocks/phone', { version: 1, onHand: 0, reason: 'x' })).status, 404)
})

test('lists – keyset pages show everything once', async (t) => {
  const tenant = await stage.tenant()
  for (const variant of ['a', 'b', 'c', 'd', 'e']) await tenant.stock(variant, 500)
  const seen: string[] = []
  for (let cursor = ''; ;) {
    const { body } = await tenant.call('GET', `/api/v1/stocks?limit=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...(body['stocks'] as { variantId: string }[]).map((stock) => stock.variantId))
    if (body['nextCursor'] === null) break
    cursor = body['nextCursor'] as string
  }
  t.deepEqual(seen, ['a', 'b', 'c', 'd', 'e'])
})

test('audit – is told what staff corrected, not what functions reserve', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  await tenant.asService('POST', '/api/v1/reservations', { reservationId: 'r', variantId: 'phone', quantity: 1 })
  await stage.said()
  const records = stage.published(tenant.tenantId, 'io.stampede.audit.recorded.v1')
  t.deepEqual(
    records.map(({ data }) => [data['action'], data['subject'], data['details']]),
    [['stock.adjusted', 'stock/phone', { onHandBefore: 0, onHand: 50, reason: 'counted', version: 1 }]],
  )
})
