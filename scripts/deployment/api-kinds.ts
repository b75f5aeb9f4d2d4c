/** Which kinds the API server knows. By discovery, which everybody may read, unlike the definitions. */
import { KubectlError, type Kubectl } from '../cluster/kubectl.ts'
import type { Manifest } from '../cluster/manifest.ts'

/** Kinds of each API version, for example `sources.knative.dev/v1` → KafkaSource, PingSource. An unknown version has none. */
export async function kindsOf(
  kubectl: Kubectl,
  apiVersions: readonly string[],
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const unique = [...new Set(apiVersions)]
  const found = await Promise.all(
    unique.map(async (apiVersion): Promise<[string, ReadonlySet<string>]> => {
      const path = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
      try {
        const list = JSON.parse(await kubectl.run(['get', '--raw', path])) as { resources?: { kind: string }[] }
        return [apiVersion, new Set((list.resources ?? []).map(({ kind }) => kind))]
      } catch (error) {
        if (error instanceof KubectlError && error.failure === 'not-found') return [apiVersion, new Set()]
        throw error
      }
    }),
  )
  return new Map(found)
}

/** Splits into what the server can take and what it has never heard of. */
export async function splitByKnown(
  kubectl: Kubectl,
  manifests: readonly Manifest[],
): Promise<{ known: Manifest[]; unknown: Manifest[] }> {
  const kinds = await kindsOf(
    kubectl,
    manifests.map(({ apiVersion }) => apiVersion),
  )
  const isKnown = ({ apiVersion, kind }: Manifest) => kinds.get(apiVersion)?.has(kind) === true
  return {
    known: manifests.filter((manifest) => isKnown(manifest)),
    unknown: manifests.filter((manifest) => !isKnown(manifest)),
  }
}
