/** Tokens for the trial: minted where the cluster has the key, by a command of the user otherwise. */
import { clusterMint } from '../cluster/identity.ts'
import { runProgram } from '../cluster/run-program.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'

const tokenWithinMs = 30_000

/** `command` is run by the shell with STAMPEDE_USER and STAMPEDE_ROLES (separated by commas) and prints a token. */
export async function tokensFor(
  context: DeployContext,
  command: string | undefined,
): Promise<(userId: string, roles: readonly string[]) => Promise<string>> {
  if (command !== undefined) {
    return async (userId, roles) => {
      const result = await runProgram('/bin/sh', ['-c', command], {
        timeoutMs: tokenWithinMs,
        environment: { ...context.environment, STAMPEDE_USER: userId, STAMPEDE_ROLES: roles.join(',') },
      })
      const token = result.stdout.trim().split('\n').at(-1)?.trim() ?? ''
      if (result.exitCode !== 0 || token === '')
        throw new DeployError(
          `--token-command gave no token: ${result.stderr.trim().slice(0, 500) || 'it printed nothing'}`,
        )
      return token
    }
  }
  const mint = await clusterMint(context.kubectl, { namespace })
  if (mint === undefined)
    throw new DeployError(
      `The cluster has no key to sign tokens with (Secret stampede-signing), and must not have one in production. Give a command that prints a token of your identity provider: scripts/deploy verify --token-command 'get-token --user "$STAMPEDE_USER" --roles "$STAMPEDE_ROLES"'`,
    )
  return mint
}
