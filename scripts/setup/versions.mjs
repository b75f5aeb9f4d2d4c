// @ts-check

/**
 * The first version number in a text, as numbers: `Redis server v=7.0.15` gives [7, 0, 15].
 * @param {string} text
 * @returns {number[] | undefined}
 */
export function parseVersion(text) {
  const match = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text)
  if (!match) return undefined
  return match
    .slice(1)
    .filter((part) => part !== undefined)
    .map(Number)
}

/**
 * @param {readonly number[] | undefined} version
 * @param {readonly number[]} least
 */
export function isAtLeast(version, least) {
  if (!version) return false
  for (const [index, wanted] of least.entries()) {
    const actual = version[index] ?? 0
    if (actual !== wanted) return actual > wanted
  }
  return true
}
