/** A browser without a screen: follows redirects, keeps cookies, fills in forms. */

export type Shown = { url: string; status: number; html: string; headers: Headers }

export function createBrowser() {
  /** By path and name, as the server said. */
  const jar = new Map<string, { path: string; name: string; value: string }>()

  const keep = (response: Response) => {
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
      const [name = '', value = ''] = pair.split(/=(.*)/s)
      const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? '/'
      const expires = attributes.find((one) => /^expires=/i.test(one))?.slice(8)
      if (value === '' || (expires && Date.parse(expires) < Date.now())) jar.delete(`${path} ${name}`)
      else jar.set(`${path} ${name}`, { path, name, value })
    }
  }
  const cookiesFor = ({ pathname }: URL) =>
    [...jar.values()]
      .filter(({ path }) => pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ')

  /** Follows redirects until `stopAt` (what it begins with), which is not asked. */
  const open = async (address: string, stopAt: string, form?: Record<string, string>): Promise<Shown> => {
    let url = new URL(address)
    let body = form && new URLSearchParams(form)
    for (let hops = 0; hops < 20; hops++) {
      if (url.href.startsWith(stopAt)) return { url: url.href, status: 0, html: '', headers: new Headers() }
      const response: Response = await fetch(url, {
        method: body ? 'POST' : 'GET',
        headers: { accept: 'text/html', cookie: cookiesFor(url), ...(body ? { origin: url.origin } : {}) },
        redirect: 'manual',
        ...(body ? { body } : {}),
      })
      keep(response)
      const html = await response.text()
      const location = response.headers.get('location')
      if (response.status < 300 || response.status >= 400 || !location)
        return { url: url.href, status: response.status, html, headers: response.headers }
      url = new URL(location, url)
      body = undefined
    }
    throw new Error('more redirects than a browser follows')
  }

  /** Sends the form of the page that has this button or hidden action, with what was typed. */
  const submit = (shown: Shown, action: string, typed: Record<string, string>, stopAt: string): Promise<Shown> => {
    for (const [, attributes = '', content = ''] of shown.html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)) {
      const fields: Record<string, string> = {}
      for (const [tag] of content.matchAll(/<input[^>]*>/g)) {
        const name = /name="([^"]*)"/.exec(tag)?.[1]
        if (name !== undefined) fields[name] = /value="([^"]*)"/.exec(tag)?.[1] ?? ''
      }
      const hasButton = content.includes(`name="do" value="${action}"`)
      if (fields['do'] !== action && !hasButton) continue
      const target = /action="([^"]*)"/.exec(attributes)?.[1] ?? ''
      return open(new URL(target, shown.url).href, stopAt, { ...fields, do: action, ...typed })
    }
    throw new Error(`there is no form for "${action}" on ${shown.url}: ${shown.html.slice(-500)}`)
  }
  return { open, submit, jar }
}
