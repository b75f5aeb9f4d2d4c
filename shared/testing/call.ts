/** A JSON request as a test makes it. */

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of many shapes, member by member
export type Body = Record<string, any>

/** Sends with the token as Bearer; a body only when one is given. */
export function request(url: string, method: string, token: string, body?: unknown): Promise<Response> {
  return fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

/** The same for an answer that is JSON. */
export async function call(url: string, method: string, token: string, body?: unknown) {
  const response = await request(url, method, token, body)
  return { status: response.status, body: (await response.json()) as Body }
}
