/**
 * Images of built functions, by whichever tool the user has:
 *
 *   func                     Cloud Native Buildpacks, `func build`; needs Docker or Podman, and a registry
 *   docker, podman, buildah  the Containerfile beside this file (or the function's own)
 *   command                  a command line of the user's, for anything else
 *
 * The tag comes from the content: the same sources have the same name, and a change makes a new revision.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MissingProgramError, runBuilder } from './run-builder.ts'
import { contentTag, stage } from './stage.ts'

export const imageTools = ['func', 'docker', 'podman', 'buildah', 'command'] as const
export type ImageTool = (typeof imageTools)[number]

export type ImageRequest = {
  /** Of the image, without registry and tag: `order`. */
  name: string
  /** The built folder: `functions/order`. */
  folder: string
  tool: ImageTool
  /** `ghcr.io/somebody`: the image is pushed there. Without one it stays in the tool's own store. */
  registry?: string | undefined
  /**
   * For the tool `command`: run by `sh`; `{folder}` and `{name}` are replaced, quoted. Its last line is the image's name. The folder is a copy
   * that holds only what belongs into the image, and is deleted afterwards.
   */
  command?: string | undefined
  /** Where programs are found; default: this process' environment. */
  environment?: NodeJS.ProcessEnv
  /** Hears each line of the tool. */
  hear?: (line: string) => void
}

/** The folder is not built, the tool is missing or refuses: the message says what to do next. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
}

const imageName = /^[a-z0-9]+(?:[._:/-]+[A-Za-z0-9_]+)*(?:@sha256:[0-9a-f]{64})?$/
const containerfile = join(import.meta.dirname, 'Containerfile')

/** The full name of the image, with a content tag. @throws ImageError */
export async function buildImage(request: ImageRequest): Promise<string> {
  const staging = await mkdtemp(join(tmpdir(), 'stampede-image-'))
  try {
    const staged = join(staging, request.name)
    await stage(request.folder, staged).catch((error: unknown) => {
      throw new ImageError((error as Error).message, { cause: error })
    })
    const image = `${request.registry ?? 'stampede'}/${request.name}:${await contentTag(staged)}`
    return await makers[request.tool]({ ...request, staged, image })
  } catch (error) {
    throw error instanceof MissingProgramError ? new ImageError(nextStep(request.tool, error), { cause: error }) : error
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

type Making = ImageRequest & { staged: string; image: string }

const byContainerfile =
  (program: string, build: readonly string[]) =>
  async (making: Making): Promise<string> => {
    const { folder, staged, image, registry } = making
    const own = join(folder, 'Containerfile')
    const file = existsSync(own) ? own : containerfile
    await run(program, [...build, '--file', file, '--tag', image, staged], making)
    if (registry !== undefined) await run(program, ['push', image], making)
    return image
  }

const makers: Record<ImageTool, (making: Making) => Promise<string>> = {
  docker: byContainerfile('docker', ['build']),
  podman: byContainerfile('podman', ['build']),
  buildah: byContainerfile('buildah', ['build', '--layers']),
  func: async (making) => {
    const { folder, image, registry } = making
    if (registry === undefined) {
      throw new ImageError(
        'func builds for a registry. Next: name one, for example ghcr.io/<you>, or use docker or podman.',
      )
    }
    if (!existsSync(join(folder, 'func.yaml'))) {
      throw new ImageError(
        `${folder} has no func.yaml: func cannot build it. Next: build it with docker, podman or buildah, or name an image that is there.`,
      )
    }
    // The folder itself: func keeps its own files there, and leaves out what .funcignore says.
    await run('func', ['build', '--path', folder, '--image', image, '--builder', 'pack', '--push'], making)
    return image
  },
  command: async (making) => {
    const { name, staged, command } = making
    if (!command) {
      throw new ImageError(
        "There is no command to make images with. Next: set IMAGE_COMMAND to a command line with {folder} and {name} whose last line is the image's name.",
      )
    }
    const line = command.replaceAll('{folder}', () => quoted(staged)).replaceAll('{name}', () => quoted(name))
    const output = await run('sh', ['-c', line], making)
    const image = output.trimEnd().split('\n').at(-1)?.trim() ?? ''
    if (!imageName.test(image)) {
      throw new ImageError(
        `The last line of the image command is not the name of an image: ${JSON.stringify(image)}\nThe command was: ${line}`,
      )
    }
    return image
  },
}

async function run(program: string, args: readonly string[], { environment, hear }: Making): Promise<string> {
  return runBuilder(program, args, { environment: environment ?? process.env, hear }).catch((error: unknown) => {
    if (error instanceof MissingProgramError) throw error
    throw new ImageError((error as Error).message, { cause: error })
  })
}

/** For a shell: nothing in it has a meaning. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

function nextStep(tool: ImageTool, { program }: MissingProgramError): string {
  const others = imageTools.filter((other) => other !== tool && other !== 'command').join(', ')
  return [
    `${program} is not installed, or not on the PATH.`,
    `Next: install it, or choose one that is there (${others}), or set IMAGE_COMMAND to a command line of your own`,
    "with {folder} and {name} whose last line is the image's name.",
  ].join('\n')
}
