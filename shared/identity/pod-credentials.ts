/** What a pod knows of its own service account: files that the kubelet mounts and renews. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'

export type PodCredentials = {
  tokenFile: string
  caFile: string
  namespace: string | undefined
  /** `iss` of the pod's own token: who makes the tokens of this cluster. */
  issuer: string | undefined
}

export const podCredentialsFolder = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Undefined when the pod has no token (`automountServiceAccountToken: false`) or this is no pod. */
export function readPodCredentials(folder: string = podCredentialsFolder): PodCredentials | undefined {
  const tokenFile = join(folder, 'token')
  const token = readIfThere(tokenFile)
  if (token === undefined) return undefined
  return {
    tokenFile,
    caFile: join(folder, 'ca.crt'),
    namespace: readIfThere(join(folder, 'namespace'))?.trim() || undefined,
    issuer: issuerOf(token),
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Not verified, because it need not be: whoever writes this file decides about the pod anyway. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token.trim()).iss
  } catch {
    return undefined
  }
}
