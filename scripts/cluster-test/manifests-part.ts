/** Every manifest is accepted by the API server, and a planted mistake in each kind is refused. */
import { checkAccepted } from './accepted.ts'
import type { Part } from './part.ts'

export const manifestsPart: Part = {
  name: 'manifests',
  title: 'manifests are accepted, and mistakes in them refused',
  async run({ kubectl, say, check }) {
    const checks = await checkAccepted(kubectl, { log: (line) => say(`  ${line}`) })
    // Hundreds of them: those that do not hold are named, the others counted.
    const failed = checks.filter(({ ok }) => !ok)
    for (const { name, detail } of failed) check(name, false, detail)
    check(`${checks.length - failed.length} of ${checks.length} checks of manifests`, failed.length === 0)
  },
}
