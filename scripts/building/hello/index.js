// The yardstick of the cold start: the smallest function of the same runtime, as `func create` makes one.
const handle = async () => ({ body: 'hello', headers: { 'content-type': 'text/plain' } })

module.exports = { handle }
