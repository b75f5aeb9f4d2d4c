/** What the parts of `npm run test:cluster` get and give. */
import type { ImageTool } from '../building/images.ts'
import type { KubeApi } from '../cluster/kube-api.ts'
import type { Kubectl, KubectlConnection } from '../cluster/kubectl.ts'
import type { Say } from '../lib/terminal.ts'

export type ImageSettings = { tool: ImageTool; registry?: string; command?: string }

export type PartContext = {
  kubectl: Kubectl
  connection: KubectlConnection
  api: KubeApi
  /** Where the platform is. */
  namespace: string
  /** Of this test alone; deleted at its end. */
  trialNamespace: string
  ingress?: string
  images: ImageSettings
  say: Say
  /** One result. A detail is shown in any case. */
  check: (what: string, held: boolean, detail?: string) => void
  /** Runs at the end of the part, the last one first, whatever happens. */
  defer: (undo: () => Promise<unknown>) => void
  signal: AbortSignal
}

/** A part throws when it cannot go on; that counts as one failure. */
export type Part = { name: string; title: string; run: (context: PartContext) => Promise<void> }
