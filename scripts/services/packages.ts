/** Debian's packages for what is missing: the plan is pure, the installation runs as one shell script with the rights it needs. */
import { existsSync } from 'node:fs'
import { isAtLeast, parseVersion } from '../setup/versions.mjs'
import { confirm, formatDuration, isAtTerminal, withProgress, type Say } from '../lib/terminal.ts'
import { findProgram } from './local/find-program.ts'
import { haveKafkaJars } from './local/kafka-jars.ts'
import { run } from './local/run.ts'
import { SetupError, type ServiceName } from './types.ts'

/** What was found on the machine; versions as the programs print them, undefined when a program is absent. */
export type Findings = {
  redis?: string | undefined
  mariadb: boolean
  java?: string | undefined
  maven: boolean
  kafkaJars: boolean
}
export type NeededPackage = { name: string; why: string }

const leastRedis = [7, 0]
/** Kafka 4 does not run on less. */
const leastJava = [17]

/** Which packages are to be installed for the services, and why. */
export function neededPackages(need: readonly ServiceName[], found: Findings): NeededPackage[] {
  const packages: NeededPackage[] = []
  if (
    need.includes('redis') &&
    !isAtLeast(found.redis === undefined ? undefined : parseVersion(found.redis), leastRedis)
  ) {
    packages.push({ name: 'redis-server', why: 'Redis decides the sale' })
  }
  if (need.includes('mariadb') && !found.mariadb)
    packages.push({ name: 'mariadb-server', why: 'MariaDB keeps the orders' })
  if (need.includes('kafka')) {
    if (!isAtLeast(found.java === undefined ? undefined : javaVersion(found.java), leastJava)) {
      packages.push({ name: 'default-jre-headless', why: 'Kafka runs on Java' })
    }
    if (!found.kafkaJars && !found.maven) packages.push({ name: 'maven', why: 'downloads Kafka' })
  }
  return packages
}

/** Packages for tests that look at pages; none when there is a browser. */
export function browserPackages(hasBrowser: boolean = findProgram('chromium') !== undefined): NeededPackage[] {
  if (hasBrowser || process.env['CHROMIUM_PATH'] !== undefined) return []
  return [
    { name: 'chromium', why: 'the tests look at pages in a real browser' },
    { name: 'fonts-dejavu-core', why: 'the pages need letters' },
  ]
}

/** `openjdk version "17.0.15" 2025-04-15`, `openjdk 21 2023-09-19`. */
export function javaVersion(text: string): number[] | undefined {
  const first = /(?:version )?"?(\d+)(?:\.(\d+))?/.exec(text.replace(/^openjdk\s+/, ''))
  return first ? [Number(first[1]), Number(first[2] ?? 0)] : undefined
}

export async function lookAround(sharedFolder: string): Promise<Findings> {
  const [redis, java, kafkaJars] = await Promise.all([
    versionOf('redis-server', '--version'),
    versionOf('java', '-version'),
    haveKafkaJars(sharedFolder),
  ])
  return {
    redis,
    java,
    kafkaJars,
    mariadb: findProgram('mariadbd') !== undefined && findProgram('mariadb-install-db') !== undefined,
    maven: findProgram('mvn') !== undefined,
  }
}

async function versionOf(program: string, flag: string): Promise<string | undefined> {
  const path = findProgram(program)
  if (!path) return undefined
  // Long: on a machine that is busy even `java -version` takes many seconds, and what did not answer would be installed again.
  const { code, output } = await run(path, [flag], { limitMs: 90_000 })
  return code === 0 ? output : undefined
}

const aptFlags = '-y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300'

/** The commands that a person would type. */
export function commandsFor(packages: readonly NeededPackage[]): string[] {
  return ['apt-get update', `apt-get install ${aptFlags} ${packages.map(({ name }) => name).join(' ')}`]
}

/** A mark in the policy file, so that one left behind by an interrupted run is recognised and not taken for the administrator's. */
const policyMark = '# stampede: no service is started while its package is installed'

/**
 * The script that installs. Debian starts a service as soon as its package is there; a policy file prevents that, because the
 * services run as our own processes on our own ports. With systemd they are not enabled for the next boot either.
 */
export function installScript(packages: readonly NeededPackage[]): string {
  const names = packages.map(({ name }) => name)
  const units = [
    names.includes('redis-server') ? 'redis-server.service' : '',
    names.includes('mariadb-server') ? 'mariadb.service' : '',
  ].filter(Boolean)
  const [update, install] = commandsFor(packages) as [string, string]
  return [
    'set -e',
    'export DEBIAN_FRONTEND=noninteractive',
    'policy=/usr/sbin/policy-rc.d',
    `if [ -e "$policy" ] && grep -qF '${policyMark}' "$policy"; then rm -f "$policy"; fi`,
    'made=no',
    'clean() { if [ "$made" = yes ]; then rm -f "$policy"; fi; }',
    'trap clean EXIT',
    "trap 'exit 130' INT TERM HUP",
    `if [ ! -e "$policy" ]; then made=yes; printf '#!/bin/sh\\n%s\\nexit 101\\n' '${policyMark}' > "$policy"; chmod 755 "$policy"; fi`,
    // An installation that was interrupted is finished first.
    'dpkg --configure -a',
    // Without fresh lists a fresh machine knows no package; with old ones the installation may still work.
    `${update} || echo "W: the package lists could not be updated"`,
    install,
    ...(units.length > 0
      ? [`if [ -d /run/systemd/system ]; then systemctl disable ${units.join(' ')} >/dev/null 2>&1 || true; fi`]
      : []),
  ].join('\n')
}

export type InstallOptions = { say: Say; assumeYes: boolean }

/** Installs, after asking once at a terminal. @throws SetupError with the exact commands when it may not. */
export async function installPackages(
  packages: readonly NeededPackage[],
  { say, assumeYes }: InstallOptions,
): Promise<void> {
  const list = packages.map(({ name, why }) => `  ${name.padEnd(22)} ${why}`).join('\n')
  const prefix = await privilegedPrefix()
  if (!findProgram('apt-get') || !prefix) throw new SetupError(cannotInstall(packages, list))
  say(
    `To be installed from ${existsSync('/etc/debian_version') ? "Debian's" : "the system's"} packages (no service is started by that):\n${list}`,
  )
  if (!assumeYes && isAtTerminal() && !(await confirm('Install them now?'))) {
    throw new SetupError(`Nothing was installed. ${alternatives}`)
  }
  const beganMs = performance.now()
  let latest = ''
  const command = [...prefix, 'sh', '-c', installScript(packages)]
  const { code, output } = await withProgress(
    say,
    (elapsed) => `  installing, ${elapsed}${latest && `: ${latest}`} …`,
    () =>
      run(command[0] as string, command.slice(1), {
        limitMs: 900_000,
        onLine: (line) => {
          if (/^(Get:|Unpacking|Setting up|Preparing)/.test(line)) latest = line.slice(0, 60)
        },
      }),
  )
  if (code !== 0) {
    throw new SetupError(
      `The installation failed:\n${output.trim().split('\n').slice(-12).join('\n')}\n\nTry it by hand, then run the same command again:\n  ${commandsFor(packages).join('\n  ')}`,
    )
  }
  say(`Packages are installed (${formatDuration(performance.now() - beganMs)}).`)
}

/** How a command is run with the rights of root: directly, by sudo without a password, or not at all. */
async function privilegedPrefix(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return []
  const sudo = findProgram('sudo')
  if (!sudo) return undefined
  const { code } = await run(sudo, ['-n', 'true'], { limitMs: 5_000 })
  return code === 0 ? [sudo, '-n'] : undefined
}

const alternatives =
  'Instead you can start a Docker or Podman engine, or give addresses in REDIS_URL, DATABASE_URL and KAFKA_BROKERS.'

function cannotInstall(packages: readonly NeededPackage[], list: string): string {
  if (!findProgram('apt-get')) {
    return `These are missing, and this system has no apt-get (the names are Debian's):\n${list}\n\nInstall them as your system does it and run the same command again. ${alternatives}`
  }
  const sudo = (command: string) => (findProgram('sudo') ? `  sudo ${command}` : `  ${command}`)
  return `These are missing, and installing them needs the rights of root:\n${list}\n\nRun this as root, then the same command again:\n\n${commandsFor(packages).map(sudo).join('\n')}\n\n${alternatives}`
}
