/**
 * A real Chromium for tests of pages. `npm test` installs Debian's package; its path can be given in `CHROMIUM_PATH`.
 */
import { existsSync } from 'node:fs'
import { chromium, type Page } from 'playwright-core'

const usualPaths = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

export function chromiumPath(): string {
  const path = process.env['CHROMIUM_PATH'] ?? usualPaths.find((candidate) => existsSync(candidate))
  if (path === undefined) throw new Error('Chromium is missing: install the package "chromium", or set CHROMIUM_PATH')
  return path
}

export type PageErrors = string[]

/**
 * Opens a page in a fresh browser and closes it afterwards. `errors` collects everything the page complains about: uncaught errors,
 * console errors, blocked resources.
 */
export async function withPage<T>(
  work: (page: Page, errors: PageErrors) => Promise<T>,
  viewport = { width: 1_280, height: 800 },
): Promise<T> {
  const browser = await chromium.launch({
    executablePath: chromiumPath(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  try {
    const page = await browser.newPage({ viewport })
    const errors: PageErrors = []
    page.on('pageerror', (error) => errors.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text())
    })
    return await work(page, errors)
  } finally {
    await browser.close()
  }
}
