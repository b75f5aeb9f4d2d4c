/** Where a broker of Knative asks for OIDC, the kubelet puts the token for it into a file and renews it there. */
import { readFile } from 'node:fs/promises'
import { Problem } from '../http/problem.ts'

/**
 * The token as it is now; read each time, because it is replaced while the process runs, and a batch of events costs far more.
 * Rejects with a retryable Problem when there is none: a volume may come late.
 */
export const tokenFromFile = (file: string) => async (): Promise<string> => {
  try {
    const token = (await readFile(file, 'utf8')).trim()
    if (token !== '') return token
  } catch (error) {
    throw new Problem('dependency-unavailable', 'The token for the event broker cannot be read', { cause: error })
  }
  throw new Problem('dependency-unavailable', 'The token for the event broker is empty')
}
