import { namespace, type DeployContext } from './context.ts'

/** What is deployed and not in the repository any more may still be used: a person decides. */
export async function reportLeftovers(
  { kubectl, say }: Pick<DeployContext, 'kubectl' | 'say'>,
  resource: string,
  names: readonly string[],
): Promise<void> {
  const text = await kubectl.run([
    '-n',
    namespace,
    'get',
    resource,
    '-l',
    'app.kubernetes.io/part-of=stampede',
    '--ignore-not-found',
    '-o',
    'name',
  ])
  const leftover = text
    .split('\n')
    .map((line) => line.slice(line.indexOf('/') + 1))
    .filter((name) => name !== '' && !names.includes(name))
  for (const name of leftover)
    say(
      `${name} is deployed, but not in the overlay any more. To remove it: kubectl -n ${namespace} delete ${resource} ${name}`,
    )
}
