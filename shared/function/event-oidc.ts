/**
 * EVENT_AUTHENTICATION=oidc: whom events are taken from, where an official Knative broker delivers them. In a pod all of it is known from
 * the mounted service account; outside of one the variables say it.
 */
import { z } from 'zod'
import { readPodCredentials, podCredentialsFolder, type PodCredentials } from '../identity/pod-credentials.ts'

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
)

export const eventOidcConfig = z.object({
  /** Who makes the tokens; default: who made the pod's own. */
  EVENT_OIDC_ISSUER: z.string().optional(),
  /** What deliveries are for, separated by commas; default `stampede/<function>`: the `audience` of a Trigger's subscriber. */
  EVENT_OIDC_AUDIENCE: list.optional(),
  /** Keys of the issuer; default: the API server's, asked with the pod's own token and certificate authority. */
  EVENT_OIDC_JWKS_URL: z.url({ protocol: /^https$/, error: 'is not an https address' }).optional(),
  /** With an address of one's own: the authority that signed its certificate (PEM), and the token to ask with, as files. */
  EVENT_OIDC_CA_FILE: z.string().optional(),
  EVENT_OIDC_TOKEN_FILE: z.string().optional(),
  /** Service accounts that may deliver, separated by commas; `*` stands for anything but a colon. Default: all of the own namespace
   *  (each Trigger has an account there) and of `knative-eventing`. */
  EVENT_OIDC_SUBJECTS: list.optional(),
  /** Folder of the pod's own token, authority and namespace. */
  EVENT_OIDC_POD_CREDENTIALS: z.string().default(podCredentialsFolder),
})
export type EventOidcConfig = z.output<typeof eventOidcConfig>

export type EventOidcSettings = {
  issuer: string
  /** Undefined: by the name of the function that the event is for. */
  audiences: readonly string[] | undefined
  subjects: readonly string[]
  keys: { url: URL; caFile: string | undefined; tokenFile: string | undefined }
}

const defaultIssuer = 'https://kubernetes.default.svc.cluster.local'
const defaultKeysUrl = 'https://kubernetes.default.svc/openid/v1/jwks'

export const audienceOf = (functionName: string): string => `stampede/${functionName}`

/** What holds for this process, or everything that is missing. */
export function eventOidcSettings(
  config: EventOidcConfig,
  read: (folder: string) => PodCredentials | undefined = readPodCredentials,
): { settings: EventOidcSettings } | { problems: string[] } {
  const { EVENT_OIDC_JWKS_URL: url, EVENT_OIDC_SUBJECTS: subjects, EVENT_OIDC_AUDIENCE: audiences } = config
  const pod = read(config.EVENT_OIDC_POD_CREDENTIALS)
  const problems: string[] = []
  if (url === undefined && !pod)
    problems.push(
      `EVENT_OIDC_JWKS_URL is not set, and there is no service account token in ${config.EVENT_OIDC_POD_CREDENTIALS} to ask the API server with (EVENT_AUTHENTICATION=oidc; automountServiceAccountToken must be on)`,
    )
  if (!subjects?.length && pod?.namespace === undefined)
    problems.push(
      `EVENT_OIDC_SUBJECTS is not set, and ${config.EVENT_OIDC_POD_CREDENTIALS} does not tell the own namespace (EVENT_AUTHENTICATION=oidc)`,
    )
  if (problems.length > 0) return { problems }
  // The pod's own token is for the API server: it goes to no other address unless its file is named on purpose.
  const keys =
    url === undefined
      ? {
          url: new URL(defaultKeysUrl),
          caFile: config.EVENT_OIDC_CA_FILE ?? pod?.caFile,
          tokenFile: config.EVENT_OIDC_TOKEN_FILE ?? pod?.tokenFile,
        }
      : { url: new URL(url), caFile: config.EVENT_OIDC_CA_FILE, tokenFile: config.EVENT_OIDC_TOKEN_FILE }
  return {
    settings: {
      issuer: config.EVENT_OIDC_ISSUER ?? pod?.issuer ?? defaultIssuer,
      audiences: audiences?.length ? audiences : undefined,
      subjects: subjects?.length
        ? subjects
        : [`system:serviceaccount:${pod!.namespace}:*`, 'system:serviceaccount:knative-eventing:*'],
      keys,
    },
  }
}
