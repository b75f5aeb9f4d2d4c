import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { withProgress, type Say } from '../../lib/terminal.ts'
import { SetupError } from '../types.ts'
import { findProgram } from './find-program.ts'
import { preparedFolder } from './prepared-folder.ts'
import { run } from './run.ts'

const pom = join(import.meta.dirname, '..', 'kafka', 'pom.xml')
const downloadLimitMs = 900_000

/** Where the jars are, or will be. Another pom gives another folder, so an upgrade does not mix versions. */
export async function kafkaJarsFolder(sharedFolder: string): Promise<string> {
  const text = await readFile(pom, 'utf8')
  const version = /kafka_2\.13<\/artifactId>\s*<version>([^<]+)/.exec(text)?.[1] ?? 'unknown'
  return join(sharedFolder, 'kafka', `${version}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`)
}

export async function haveKafkaJars(sharedFolder: string): Promise<boolean> {
  return existsSync(await kafkaJarsFolder(sharedFolder))
}

/** Downloads Kafka by Maven when it is not there. What was downloaded before an interruption is in Maven's own store. */
export async function ensureKafkaJars(sharedFolder: string, say: Say): Promise<string> {
  const folder = await kafkaJarsFolder(sharedFolder)
  if (existsSync(folder)) return folder
  const maven = findProgram('mvn')
  if (!maven) throw new SetupError('Maven (mvn) is not installed; it downloads Kafka')
  let downloaded = 0
  await preparedFolder(folder, async (temporary) => {
    const libraries = join(temporary, 'lib')
    const work = () =>
      run(
        maven,
        ['-B', '-f', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${libraries}`],
        {
          limitMs: downloadLimitMs,
          onLine: (line) => {
            if (line.includes('Downloaded from')) downloaded += 1
          },
        },
      )
    const { code, output } = await withProgress(
      say,
      (elapsed) => `  downloading Kafka, ${downloaded} files, ${elapsed} …`,
      work,
    )
    if (code !== 0) {
      throw new SetupError(
        `Maven could not download Kafka:\n${errorsOf(output)}\nCheck the connection (a proxy or mirror goes into ~/.m2/settings.xml) and run the same command again.`,
      )
    }
    const jars = await readdir(libraries).catch(() => [])
    if (!jars.some((jar) => jar.startsWith('kafka_2.13-')))
      throw new SetupError('Maven ended without an error and without Kafka')
    // The plugin needs a folder of its own; the jars themselves are what stays.
    for (const jar of jars) await rename(join(libraries, jar), join(temporary, jar))
    await rm(libraries, { recursive: true })
  })
  return folder
}

const errorsOf = (output: string): string => {
  const errors = output.split('\n').filter((line) => line.includes('ERROR'))
  return (errors.length > 0 ? errors : output.split('\n')).slice(0, 8).join('\n')
}
