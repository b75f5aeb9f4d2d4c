import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { withPage } from '@stampede/shared/testing/browser.ts'
import test from 'ava'
import { writeObservation } from './output.ts'
import { summarise } from './summary.ts'
import { exampleSamples } from './testing.ts'

const samples = exampleSamples()
const summary = summarise(
  'sale',
  samples,
  { beginSecond: 5, endSecond: 18 },
  {
    requests: 1_300,
    accepted: 1_170,
    answers: { 'sold-out': 117 },
    errors: 13,
    noAnswer: 0,
    cut: [],
    cutCount: 0,
    notSent: 0,
    held: [],
    phases: [{ name: 'burst', seconds: 8, requests: 800, accepted: 720, errors: 8, p50Ms: 4.5, p99Ms: 40 }],
  },
  { seckill: 0 },
  [{ source: 'lag <of> "x"', reason: 'not there', times: 3 }],
)

test('page – opens without errors and without the network, in light and dark, with all its points and phases', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-observation-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const files = await writeObservation(folder, samples, summary, { Commit: 'abc' })
  t.regex(files.html, /2026-01-01T00-00-00Z-sale\.html$/)
  await withPage(async (page, errors) => {
    const requested: string[] = []
    page.on('request', (request) => requested.push(request.url()))
    await page.goto(pathToFileURL(files.html).href)
    t.deepEqual(errors, [])
    t.deepEqual(
      requested.filter((url) => !url.startsWith('file:') && !url.startsWith('data:')),
      [],
    )

    const points = await page.$$eval('svg[role=img] path', (paths) =>
      paths.map(
        (path) =>
          [
            path.closest('svg')!.querySelector('title')!.textContent,
            path.getAttribute('data-series'),
            Number(path.getAttribute('data-points')),
          ] as const,
      ),
    )
    const of = (title: string, series: string) => points.find(([plot, name]) => plot === title && name === series)?.[2]
    t.is(of('Requests a second', 'sent'), samples.filter(({ load }) => load !== undefined).length)
    t.is(of('Pods of seckill', 'ready'), samples.length - 1)
    t.is(of('Stock', 'left'), samples.length - 1)
    t.is(of('Records that wait', 'trigger/stampede/order'), samples.length - 1)

    const bands = await page.$$eval('svg[role=img]:first-of-type .band-name', (texts) =>
      texts.map(({ textContent }) => textContent),
    )
    t.deepEqual([...new Set(bands)], ['before', 'warm', 'burst', 'down'])
    for (const svg of await page.$$('svg[role=img]')) {
      const ids = (await svg.getAttribute('aria-labelledby'))!.split(' ')
      for (const id of ids) t.true(((await page.textContent(`[id="${id}"]`)) ?? '').length > 3, id)
    }
    t.true((await page.textContent('table'))!.includes('1300'))
    t.true((await page.textContent('body'))!.includes('lag <of> "x"'))

    const back = async (scheme: 'light' | 'dark') => {
      await page.emulateMedia({ colorScheme: scheme })
      return page.evaluate<string[]>(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('svg text')).fill]",
      )
    }
    const [light, dark] = [await back('light'), await back('dark')]
    t.not(light[0], dark[0])
    t.not(light[1], dark[1])
  })
})

test('page – nothing is wider than a phone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-observation-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const files = await writeObservation(folder, samples, summary, {})
  await withPage(
    async (page) => {
      await page.goto(pathToFileURL(files.html).href)
      t.true(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'))
    },
    { width: 360, height: 740 },
  )
})
