/** gateway: the one public entry. It declares no routes: it takes everything, and passes on what the other functions declare. */
import { defineFunction } from '@stampede/shared/function/declaration.ts'
import { gatewayConfig, type GatewayConfig } from './config.ts'
import { connectGateway, type Gateway } from './connect.ts'
import document from './generated/openapi.json' with { type: 'json' }

export const gatewayFunction = defineFunction<GatewayConfig, Gateway>({
  name: 'gateway',
  summary: 'The public entry: routes, tokens, rate limits, circuit breakers, canaries and overflow.',
  config: gatewayConfig,
  connect: connectGateway,
  routes: [],
  openApi: () => document,
  fallback: (gateway) => gateway.handle,
  ownPages: (gateway) => gateway.ownPages,
  stop: (gateway) => gateway.stop(),
})
