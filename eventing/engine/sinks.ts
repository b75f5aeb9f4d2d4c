import type { Resolve } from './plan.ts'

/**
 * Addresses of Services from text: `order=http://127.0.0.1:9001,default=http://127.0.0.1:8080/events/{name}`. `default` is for
 * every Service that is not named; `{name}` in an address becomes the Service's name and `{namespace}` its namespace, so that
 * `default=http://{name}.{namespace}.svc.cluster.local` are the addresses on a cluster.
 * @throws TypeError for an entry that is not `name=http…`.
 */
export function parseSinks(text: string): Resolve {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry): [string, string] => {
      const separator = entry.indexOf('=')
      const [name, url] = [entry.slice(0, separator), entry.slice(separator + 1)]
      if (separator < 1 || !/^https?:$/.test(URL.parse(filled(url, 'x', 'x'))?.protocol ?? '')) {
        throw new TypeError(`"${entry}" is not name=http://address`)
      }
      return [name, url]
    })
  const byName = new Map(entries)
  return ({ name, namespace }) => {
    const url = byName.get(name) ?? byName.get('default')
    return url === undefined ? undefined : filled(url, name, namespace)
  }
}

/** Before it is parsed: braces are not allowed in the name of a host. */
const filled = (url: string, name: string, namespace: string): string =>
  url.replaceAll('{name}', name).replaceAll('{namespace}', namespace)
