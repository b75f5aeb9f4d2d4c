/** A service whose address is in the environment: it is checked and used, and never started or ended. */
import { checks } from './checks.ts'
import { SetupError, titleOf, variableOf, type RunningService, type ServiceName } from './types.ts'

export async function givenService(name: ServiceName, address: string): Promise<RunningService> {
  const variable = variableOf[name]
  let version: string
  try {
    version = await checks[name](address)
  } catch (error) {
    const reason =
      error instanceof Error ? error.message || ('code' in error && String(error.code)) || error.name : String(error)
    throw new SetupError(
      `${titleOf[name]} at ${withoutPassword(address)} (from ${variable}) cannot be used: ${reason}.\nCorrect ${variable}, or unset it to have a ${titleOf[name]} started for you.`,
    )
  }
  const notOurs = async () => {
    throw new SetupError(
      `${titleOf[name]} was given by ${variable}: it is not ended or restarted from here. Unset ${variable} to have one that may be.`,
    )
  }
  return {
    name,
    address,
    description: `${version}, given by ${variable}`,
    stop: async () => {},
    kill: notOurs,
    restart: notOurs,
  }
}

/** For messages. */
export function withoutPassword(address: string): string {
  return address.replaceAll(/\/\/([^:@/]*):[^@/]*@/g, '//$1:…@')
}
