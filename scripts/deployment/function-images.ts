/** Images of the functions and of the engine: built with whatever the user has, or given by name. */
import { findTargets } from '../building/targets.ts'
import { runProgram } from '../cluster/run-program.ts'
import { formatDuration } from '../lib/terminal.ts'
import { repositoryFolder } from '../sale/child.ts'
import { DeployError, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'

export const imageTools = ['func', 'docker', 'podman', 'buildah', 'command', 'given'] as const
export type ImageTool = (typeof imageTools)[number]

export type BuildImage = (request: {
  name: string
  folder: string
  tool: Exclude<ImageTool, 'given'>
  registry?: string
  command?: string
}) => Promise<string>

export type ImageOptions = {
  /** Undefined: the first that is there. */
  images: ImageTool | undefined
  /** For example `registry.example.com/stampede`. */
  registry: string | undefined
  /** `name=image` for the tool `given`. */
  given: readonly string[]
  /** Bundles that are there are taken as they are. */
  skipBuild: boolean
  buildImage: BuildImage
  /** Runs `npm run build`. Rejects with what it said. */
  buildBundles: () => Promise<void>
}

/** Name → image. In a dry run nothing is built, and the names stay as they are in the manifests. */
export async function imagesFor(
  context: DeployContext,
  names: readonly string[],
  options: ImageOptions,
): Promise<Map<string, string>> {
  const { say, now, dryRun, environment } = context
  const images = new Map<string, string>()
  const given = parseGiven(options.given)
  if (options.images === 'given') {
    const missing = names.filter((name) => !given.has(name))
    if (missing.length > 0)
      throw new DeployError(
        `--images given needs --image NAME=IMAGE for each; ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.`,
      )
  }
  const toBuild = names.filter((name) => !given.has(name))
  for (const name of names) {
    const image = given.get(name)
    if (image !== undefined) images.set(name, image)
  }
  if (toBuild.length === 0) return images
  const tool = options.images ?? (await availableTool(environment))
  if (tool === 'given') return images
  const command = environment['IMAGE_COMMAND']
  if (tool === 'command' && (command === undefined || command === ''))
    throw new DeployError(
      "--images command needs the environment variable IMAGE_COMMAND, for example IMAGE_COMMAND='make-image {folder} {name}'. It prints the image's name as its last line.",
    )
  if (dryRun) {
    say(`would build bundles and images of ${toBuild.join(', ')} with ${tool}`)
    return images
  }
  if (!options.skipBuild) await options.buildBundles()
  for (const name of toBuild) {
    const beganMs = now()
    const image = await options.buildImage({
      name,
      folder: folderOf(name),
      tool,
      ...(options.registry === undefined ? {} : { registry: options.registry }),
      ...(command === undefined ? {} : { command }),
    })
    say(`image of ${name}: ${image} (${formatDuration(now() - beganMs)})`)
    images.set(name, image)
  }
  return images
}

/** The folder that a bundle makes self-contained. @throws DeployError for a name that nothing is built for */
export function folderOf(name: string): string {
  const target = findTargets(repositoryFolder).find((one) => one.name === name)
  if (!target) throw new DeployError(`Nothing in this repository is called ${name}: no image can be built for it.`)
  return target.folder
}

/** Names of the functions among the manifests. */
export const functionsOf = (manifests: readonly Manifest[]): string[] =>
  manifests
    .filter(({ kind, apiVersion }) => kind === 'Service' && apiVersion.startsWith('serving.knative.dev/'))
    .map(({ metadata }) => metadata.name)
    .sort()

function parseGiven(given: readonly string[]): Map<string, string> {
  return new Map(
    given.map((text) => {
      const match = /^([a-z0-9-]+)=(\S+)$/.exec(text)
      if (!match) throw new DeployError(`--image takes NAME=IMAGE, not "${text}".`)
      return [match[1] as string, match[2] as string]
    }),
  )
}

/** A command that was set is meant; then whatever answers. */
async function availableTool(environment: DeployContext['environment']): Promise<Exclude<ImageTool, 'given'>> {
  if ((environment['IMAGE_COMMAND'] ?? '') !== '') return 'command'
  for (const [tool, args] of [
    ['docker', ['info']],
    ['podman', ['info']],
    ['buildah', ['--version']],
    ['func', ['version']],
  ] as const) {
    const { exitCode } = await runProgram(tool, args, { timeoutMs: 10_000 })
    if (exitCode === 0) return tool
  }
  throw new DeployError(
    'Nothing here builds images. Install docker, podman, buildah or func; or give a command of your own (IMAGE_COMMAND, --images command); or name images that are there (--images given --image seckill=… ).',
  )
}
