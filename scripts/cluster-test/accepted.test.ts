import { join } from 'node:path'
import test from 'ava'
import type { Manifest } from '../cluster/manifest.ts'
import { readManifestFile } from '../generate/knative/manifest.ts'
import { renderedPath, renderings } from '../generate/knative/render.ts'
import { kindOf, plant } from './accepted.ts'
import { mistakes } from './planted/mistakes.ts'

const root = join(import.meta.dirname, '..', '..')
const all = async (): Promise<Manifest[]> =>
  (await Promise.all([...renderings.keys()].map((name) => readManifestFile(join(root, renderedPath(name)))))).flat()

test('planted mistakes – there is one for every kind in the overlays', async (t) => {
  const planted = new Set(mistakes.map(({ kind }) => kind))
  const kinds = new Set((await all()).map(kindOf))
  t.deepEqual(
    [...kinds].filter((kind) => !planted.has(kind)),
    [],
  )
  t.deepEqual(
    [...planted].filter((kind) => !kinds.has(kind)),
    [],
  )
})

test('planted mistakes – each changes a copy of a manifest, which is there', async (t) => {
  const manifests = await all()
  const before = JSON.stringify(manifests)
  for (const mistake of mistakes) {
    const planted = plant(mistake, manifests)
    t.truthy(planted, mistake.what)
    t.false(before.includes(JSON.stringify(planted)), `${mistake.kind}: ${mistake.what}`)
  }
  t.is(JSON.stringify(manifests), before)
})
