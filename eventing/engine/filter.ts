/** Filters of Triggers: the subscriptions API's dialects, and the older exact match of attributes. */
export type FilterExpression =
  | { exact: Record<string, string> }
  | { prefix: Record<string, string> }
  | { suffix: Record<string, string> }
  | { all: FilterExpression[] }
  | { any: FilterExpression[] }
  | { not: FilterExpression }

export type EventFilter = (attributes: Readonly<Record<string, string>>) => boolean

/** `filter.attributes`: every attribute equals its value; an empty value asks only for the attribute's presence. */
export function legacyFilter(wanted: Record<string, string>): EventFilter {
  const entries = Object.entries(wanted)
  return (attributes) =>
    entries.every(([name, value]) => (value === '' ? attributes[name] !== undefined : attributes[name] === value))
}

/** A list of filters passes when each of them does. */
export function filterOf(expressions: readonly FilterExpression[]): EventFilter {
  const tests = expressions.map(compile)
  return (attributes) => tests.every((test) => test(attributes))
}

function compile(expression: FilterExpression): EventFilter {
  if ('exact' in expression) return eachAttribute(expression.exact, (actual, wanted) => actual === wanted)
  if ('prefix' in expression) return eachAttribute(expression.prefix, (actual, wanted) => actual.startsWith(wanted))
  if ('suffix' in expression) return eachAttribute(expression.suffix, (actual, wanted) => actual.endsWith(wanted))
  if ('not' in expression) {
    const inner = compile(expression.not)
    return (attributes) => !inner(attributes)
  }
  const tests = ('all' in expression ? expression.all : expression.any).map(compile)
  return 'all' in expression
    ? (attributes) => tests.every((test) => test(attributes))
    : (attributes) => tests.some((test) => test(attributes))
}

/** An attribute that the event does not have matches nothing. */
function eachAttribute(
  wanted: Record<string, string>,
  matches: (actual: string, wanted: string) => boolean,
): EventFilter {
  const entries = Object.entries(wanted)
  return (attributes) =>
    entries.every(([name, value]) => {
      const actual = attributes[name]
      return actual !== undefined && matches(actual, value)
    })
}
