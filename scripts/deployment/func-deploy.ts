/** A function by `func deploy`, for whoever lives with func: scale, resources and environment as func.yaml says. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDocument } from 'yaml'
import { runProgram } from '../cluster/run-program.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import { folderOf } from './function-images.ts'
import { stageLabel } from './manifests.ts'

const deployWithinMs = 300_000

export async function funcDeploy(context: DeployContext, name: string, image: string): Promise<void> {
  const { say, dryRun, connection } = context
  if (dryRun) {
    say(`would run func deploy for ${name}`)
    return
  }
  // func writes its own notes into func.yaml: it gets a copy, so that the repository stays as it is.
  const folder = await mkdtemp(join(tmpdir(), `stampede-func-${name}-`))
  try {
    await cp(folderOf(name), folder, {
      recursive: true,
      filter: (source) => !/[/\\](node_modules|\.func)([/\\]|$)/.test(source.slice(folderOf(name).length)),
    })
    const file = join(folder, 'func.yaml')
    await writeFile(file, forStep(await readFile(file, 'utf8'), name))
    const result = await runProgram(
      'func',
      ['deploy', '--path', folder, '--build=false', '--push=false', '--image', image, '--namespace', namespace],
      {
        timeoutMs: deployWithinMs,
        environment: {
          ...context.environment,
          ...(connection.kubeconfig === undefined ? {} : { KUBECONFIG: connection.kubeconfig }),
        },
      },
    )
    if (result.problem === 'missing')
      throw new DeployError(
        'func is not installed, or not on the PATH: https://knative.dev/docs/functions/install-func/. Or leave out --with func.',
      )
    if (result.exitCode !== 0)
      throw new DeployError(`func deploy of ${name} failed:\n${(result.stderr + result.stdout).trim().slice(-2_000)}`)
    say(`func deployed ${name}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Without subscriptions: the Triggers come from the step `eventing`, ordered where order matters. Those that func would make would
 * deliver each event a second time. With the labels that the manifests have: func replaces all that are there, and the network
 * policies, `status` and `cleanup` go by them. With the function's own account, which has no rights.
 */
export function forStep(funcYaml: string, name: string): string {
  const document = parseDocument(funcYaml)
  document.deleteIn(['deploy', 'subscriptions'])
  const labels = {
    'app.kubernetes.io/name': name,
    'app.kubernetes.io/component': 'function',
    'app.kubernetes.io/part-of': 'stampede',
    [stageLabel]: 'services',
  }
  document.setIn(
    ['deploy', 'labels'],
    document.createNode(Object.entries(labels).map(([key, value]) => ({ key, value }))),
  )
  document.setIn(['deploy', 'serviceAccountName'], name)
  return document.toString()
}
