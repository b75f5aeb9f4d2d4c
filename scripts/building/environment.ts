/** What any function needs to start on this machine: the services' addresses, its identity, and neighbours that are not there. */
export type ServiceEnvironment = { REDIS_URL: string; DATABASE_URL: string; KAFKA_BROKERS: string }

/** For trials of a built function by itself. `identity` has AUTH_JWKS (or AUTH_JWKS_URL), AUTH_ISSUER, AUTH_AUDIENCE and SERVICE_SECRET. */
export function functionEnvironment(
  services: ServiceEnvironment,
  identity: Readonly<Record<string, string>>,
): Record<string, string> {
  // Port 9 discards: nobody listens, and connections are refused at once.
  const nobody = 'http://127.0.0.1:9'
  return {
    ...services,
    PASS_KEYS: `trial:${Buffer.alloc(32, 7).toString('base64')}`,
    DATA_KEYS: trialKey(1),
    INDEX_KEY: trialKey(2),
    AUDIT_KEY: trialKey(3),
    ACCESS_CONTROL: 'built-in',
    ...identity,
    K_SINK: nobody,
    ACTIVITY_URL: nobody,
    SECKILL_URL: nobody,
    ORDER_URL: nobody,
    INVENTORY_URL: nobody,
    PERMISSION_URL: nobody,
    HOST: '127.0.0.1',
  }
}

const trialKey = (seed: number): string =>
  `trial:${Buffer.from(Array.from({ length: 32 }, (_, index) => seed * index)).toString('base64')}`
