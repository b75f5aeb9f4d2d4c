import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { buildImage, ImageError, type ImageRequest } from './images.ts'

const root = join(import.meta.dirname, '..', '..')

/** A built function, and programs that write down how they were called and what they were given. */
async function workshop(t: ExecutionContext, programs: Record<string, string> = {}) {
  const place = await mkdtemp(join(tmpdir(), 'stampede-images-test-'))
  t.teardown(() => rm(place, { recursive: true, force: true }))
  const folder = join(place, "it's a folder", 'order')
  await mkdir(join(folder, 'dist'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"scripts":{"start":"node dist/main.js"}}')
  await writeFile(join(folder, 'func.yaml'), 'name: order\n')
  await writeFile(join(folder, 'index.ts'), 'a source')
  await writeFile(join(folder, 'dist', 'main.js'), 'the loader')
  await writeFile(join(folder, 'dist', 'function-v1-x64.cache'), 'a cache')
  const bin = join(place, 'bin')
  await mkdir(bin)
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\nprintf '%s\\n' "$@" -- >> '${place}/calls'\n${body}\n`)
    await chmod(join(bin, name), 0o755)
  }
  return {
    folder,
    calls: async () =>
      (await readFile(join(place, 'calls'), 'utf8'))
        .split('--\n')
        .filter((call) => call !== '')
        .map((call) => call.trimEnd().split('\n')),
    build: (request: Omit<ImageRequest, 'name' | 'folder'>) =>
      buildImage({ name: 'order', folder, environment: { PATH: `${bin}:/usr/bin:/bin` }, ...request }),
  }
}

for (const [tool, build] of [
  ['docker', ['build']],
  ['podman', ['build']],
  ['buildah', ['build', '--layers']],
] as const) {
  test(`images – ${tool} builds from the Containerfile with only the built files, and pushes to a registry`, async (t) => {
    const { build: make, calls } = await workshop(t, { [tool]: 'test "$1" = push || ls -R "$(eval echo \\${$#})" >&2' })
    const lines: string[] = []
    const image = await make({ tool, registry: 'registry.example/me', hear: (line) => lines.push(line) })
    t.regex(image, /^registry\.example\/me\/order:[0-9a-f]{16}$/)
    const [first, second] = await calls()
    t.deepEqual(first!.slice(0, -1), [...build, '--file', join(root, 'scripts/building/Containerfile'), '--tag', image])
    t.deepEqual(second, ['push', image])
    const listed = lines.join('\n')
    t.regex(listed, /dist[\s\S]*func\.yaml[\s\S]*package\.json[\s\S]*main\.js/)
    t.notRegex(listed, /index\.ts/)
    t.false(existsSync(first!.at(-1)!))
  })
}

test('images – without a registry nothing is pushed', async (t) => {
  const { build, calls } = await workshop(t, { docker: '' })
  t.regex(await build({ tool: 'docker' }), /^stampede\/order:[0-9a-f]{16}$/)
  t.is((await calls()).length, 1)
})

test('images – the tag follows the content, and not the compile cache', async (t) => {
  const { build, folder } = await workshop(t, { docker: '' })
  const first = await build({ tool: 'docker' })
  await writeFile(join(folder, 'dist', 'function-v1-x64.cache'), 'another cache')
  t.is(await build({ tool: 'docker' }), first)
  await writeFile(join(folder, 'dist', 'main.js'), 'another loader')
  t.not(await build({ tool: 'docker' }), first)
})

test('images – the files can be read by the user of the image, whatever the umask of this machine', async (t) => {
  const { build, folder } = await workshop(t)
  await chmod(join(folder, 'dist', 'main.js'), 0o600)
  await chmod(join(folder, 'package.json'), 0o700)
  await chmod(join(folder, 'dist'), 0o700)
  const lines: string[] = []
  const command = "find {folder} -printf '%m %P\\n' >&2; echo dev.local/{name}:1"
  await build({ tool: 'command', command, hear: (line) => lines.push(line) })
  for (const line of ['755 ', '755 dist', '644 dist/main.js', '755 package.json', '644 func.yaml'])
    t.true(
      lines.some((one) => one === line || one === line.trimEnd()),
      `${line}: ${lines.join('; ')}`,
    )
})

test('images – a Containerfile of the function itself is preferred', async (t) => {
  const { build, folder, calls } = await workshop(t, { podman: '' })
  await writeFile(join(folder, 'Containerfile'), 'FROM scratch\n')
  await build({ tool: 'podman' })
  t.true((await calls())[0]!.includes(join(folder, 'Containerfile')))
})

test('images – func builds the folder itself and pushes', async (t) => {
  const { build, folder, calls } = await workshop(t, { func: '' })
  const image = await build({ tool: 'func', registry: 'registry.example/me' })
  t.deepEqual(await calls(), [['build', '--path', folder, '--image', image, '--builder', 'pack', '--push']])
  await t.throwsAsync(build({ tool: 'func' }), { instanceOf: ImageError, message: /Next: name one/ })
  await rm(join(folder, 'func.yaml'))
  await t.throwsAsync(build({ tool: 'func', registry: 'registry.example/me' }), {
    instanceOf: ImageError,
    message: /has no func\.yaml.*Next: /,
  })
})

test('images – a command gets folder and name, and its last line is the image', async (t) => {
  const { build } = await workshop(t)
  const command =
    'test -f {folder}/dist/main.js && ! test -e {folder}/index.ts && echo some words && echo dev.local/{name}:1'
  t.is(await build({ tool: 'command', command }), 'dev.local/order:1')
})

test('images – a command without a command line, one that fails and one that prints no image say what is wrong', async (t) => {
  const { build } = await workshop(t)
  await t.throwsAsync(build({ tool: 'command' }), { instanceOf: ImageError, message: /set IMAGE_COMMAND/ })
  await t.throwsAsync(build({ tool: 'command', command: 'echo no space left >&2; exit 3' }), {
    instanceOf: ImageError,
    message: /failed \(3\):\nno space left/,
  })
  await t.throwsAsync(build({ tool: 'command', command: 'echo Done.' }), {
    instanceOf: ImageError,
    message: /not the name of an image: "Done\."/,
  })
})

test('images – a tool that is not there names the next step', async (t) => {
  const { build } = await workshop(t)
  const environment = { PATH: '/nonexistent' }
  const { message } = await t.throwsAsync(build({ tool: 'buildah', environment }), { instanceOf: ImageError })
  t.regex(message, /buildah is not installed[\s\S]*func, docker, podman[\s\S]*IMAGE_COMMAND/)
})

test('images – a folder that is not built names the next step', async (t) => {
  const { build, folder } = await workshop(t, { docker: '' })
  await rm(join(folder, 'dist'), { recursive: true })
  await t.throwsAsync(build({ tool: 'docker' }), { instanceOf: ImageError, message: /not built\. Next: npm run build/ })
})

test('images – hello comes with its packages and runs from the copy alone', async (t) => {
  const command = `cd {folder} && test -f index.js && "${process.execPath}" node_modules/.bin/faas-js-runtime --version && echo local/{name}:1`
  const lines: string[] = []
  const image = await buildImage({
    name: 'hello',
    folder: join(root, 'scripts/building/hello'),
    tool: 'command',
    command,
    hear: (line) => lines.push(line),
  })
  t.is(image, 'local/hello:1')
  t.is(lines[0], '4.0.1')
})
