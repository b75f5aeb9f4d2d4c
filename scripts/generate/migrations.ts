import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GeneratedFile } from './files.ts'

const fileName = /^\d{4}-[a-z0-9-]+\.sql$/

/** `functions/<name>/migrations/*.sql` as modules, so that they are inside a bundle. Paths are relative to `root`. */
export async function generateMigrations(root: string): Promise<GeneratedFile[]> {
  const folders = (await readdir(join(root, 'functions'), { withFileTypes: true })).filter((entry) =>
    entry.isDirectory(),
  )
  const files = await Promise.all(folders.map(({ name }) => migrationsOf(root, name)))
  return files.filter((file) => file !== undefined)
}

async function migrationsOf(root: string, name: string): Promise<GeneratedFile | undefined> {
  const folder = join('functions', name, 'migrations')
  const names = (await readdir(join(root, folder)).catch(() => [])).filter((file) => file.endsWith('.sql')).sort()
  if (names.length === 0) return undefined
  for (const [index, file] of names.entries()) {
    if (!fileName.test(file)) throw new Error(`${folder}/${file} is not named like 0001-what-it-does.sql`)
    if (Number(file.slice(0, 4)) !== index + 1)
      throw new Error(`${folder}: ${file} should have the number ${String(index + 1).padStart(4, '0')}`)
  }
  const migrations = await Promise.all(
    names.map(async (file) => ({
      name: file.slice(0, -'.sql'.length),
      sql: await readFile(join(root, folder, file), 'utf8'),
    })),
  )
  return { path: `functions/${name}/generated/migrations.ts`, content: moduleOf(migrations) }
}

const literal = (text: string) => '`' + text.replaceAll('\r\n', '\n').replace(/[\\`]|\$\{/g, '\\$&') + '`'

function moduleOf(migrations: readonly { name: string; sql: string }[]): string {
  const entries = migrations.map(({ name, sql }) => `  {\n    name: '${name}',\n    sql: ${literal(sql)},\n  },\n`)
  return `/** Generated from migrations/*.sql by \`npm run generate\`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
${entries.join('')}]
`
}
