/**
 * Do Redis, Kafka and the database answer from inside the cluster? A short Job with an image of ours tries their ports, because a
 * function that cannot reach one of them only says that it is not ready.
 */
import { KubectlError } from '../cluster/kubectl.ts'
import { applyStage } from './apply.ts'
import { DeployError, commandLine, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { readinessOf, type LiveObject } from './readiness.ts'

const jobName = 'infra-check'
const withinMs = 60_000
const pollMs = 1_000

/** Runs in the image. Prints a line for each address, without user and password. */
const script = `
const net = require('node:net')
const hosts = (text) => text.replace(/^[a-z-]+:\\/\\//, '').replace(/^[^@]*@/, '').split('/')[0].split(',')
const usual = { REDIS_URL: 6379, KAFKA_BROKERS: 9092, DATABASE_URL: 3306 }
const tries = Object.entries(usual).flatMap(([name, port]) => hosts(process.env[name] ?? '').map((host) => ({ name, host: host.trim(), port })))
const attempt = ({ name, host, port }) => new Promise((done) => {
  const at = new URL('tcp://' + host)
  const socket = net.connect({ host: at.hostname.replace(/^\\[|\\]$/g, ''), port: Number(at.port) || port, timeout: 5000 })
  const end = (why) => { socket.destroy(); console.log(why ? 'FAILED ' + name + ' ' + host + ': ' + why : 'ok ' + name + ' ' + host); done(!why) }
  socket.once('connect', () => end())
  socket.once('timeout', () => end('no answer within 5 s'))
  socket.once('error', (error) => end(error.message))
})
Promise.all(tries.map(attempt)).then((all) => process.exit(all.includes(false) ? 1 : 0))
`

/** `image` holds Node. @throws DeployError with the addresses that do not answer; says so when it could not try */
export async function checkInfra(context: DeployContext, image: string): Promise<void> {
  const { kubectl, say, now, sleep } = context
  const remove = () =>
    kubectl.run(['-n', namespace, 'delete', 'jobs.batch', jobName, '--ignore-not-found', '--timeout=60s'], {
      timeoutMs: 70_000,
    })
  // What an interrupted run left cannot be applied again.
  await remove()
  await applyStage({ ...context, say: () => undefined }, 'services', [jobOf(image)])
  try {
    const beganMs = now()
    for (;;) {
      const job = await kubectl.json<LiveObject>(['-n', namespace, 'get', 'jobs.batch', jobName])
      const verdict = readinessOf(job)
      if (verdict.ready) {
        say('Redis, Kafka and the database can be reached from inside the cluster.')
        return
      }
      if (verdict.hopeless === true || now() - beganMs > withinMs) break
      await sleep(pollMs)
    }
    const log = await kubectl
      .run(['-n', namespace, 'logs', `job/${jobName}`, '--tail=20'], { timeoutMs: 10_000 })
      .catch((error: unknown) => (error instanceof KubectlError ? '' : Promise.reject(error)))
    const failed = log.split('\n').filter((line) => line.startsWith('FAILED '))
    if (failed.length > 0)
      throw new DeployError(
        `Not reachable from inside the cluster:\n${failed.map((line) => `  ${line.slice(7)}`).join('\n')}\nAre the addresses right as pods see them (${commandLine(context, 'infra')}), do firewalls and network policies let them through?`,
      )
    say('Whether Redis, Kafka and the database can be reached could not be tried; the functions will tell.')
  } finally {
    await remove()
  }
}

const secret = (variable: string, name: string, key: string) => ({
  name: variable,
  valueFrom: { secretKeyRef: { name, key } },
})

function jobOf(image: string): Manifest {
  // Network policies treat it as a function: it shall see what functions see.
  const labels = {
    'app.kubernetes.io/name': jobName,
    'app.kubernetes.io/component': 'function',
    'app.kubernetes.io/part-of': 'stampede',
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName, namespace, labels },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: withinMs / 1_000,
      ttlSecondsAfterFinished: 300,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
          containers: [
            {
              name: 'check',
              image,
              command: ['node', '-e', script],
              env: [
                secret('REDIS_URL', 'stampede-redis', 'url'),
                secret('KAFKA_BROKERS', 'stampede-kafka', 'brokers'),
                secret('DATABASE_URL', 'stampede-database', 'url'),
              ],
              resources: {
                requests: { cpu: '10m', memory: '64Mi' },
                limits: { cpu: '500m', memory: '128Mi' },
              },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
        },
      },
    },
  }
}
