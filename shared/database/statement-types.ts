/**
 * What the compiler reads in the text of a statement: its parameters, and whether it keeps to one tenant. Keywords are written in
 * capitals and names in small letters, as everywhere here: that is how these types tell them apart.
 */

/** A value of SQL. Whole objects and `undefined` are refused: by accident they would become a condition or NULL. */
export type SqlValue = string | number | bigint | boolean | Date | Buffer | null

type Letter = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'h' | 'i' | 'j' | 'k' | 'l' | 'm' | 'n' | 'o' | 'p' | 'q' | 'r'
type MoreLetters = 's' | 't' | 'u' | 'v' | 'w' | 'x' | 'y' | 'z'
type Digit = '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9'
type NameCharacter = Letter | MoreLetters | Uppercase<Letter | MoreLetters> | Digit

/** The name at the beginning of a text. */
type NameAt<Text extends string, Name extends string = ''> = Text extends `${infer Character}${infer Rest}`
  ? Character extends NameCharacter
    ? NameAt<Rest, `${Name}${Character}`>
    : Name
  : Name

type Found = { name: string; list: boolean }

type ParameterAt<Before extends string, Name extends string> = Name extends '' | `${Digit}${string}`
  ? never
  : { name: Name; list: Before extends `${string}IN (` ? true : false }

type FoundIn<Sql extends string, Known extends Found = never> = Sql extends `${infer Before}:${infer After}`
  ? FoundIn<After, Known | ParameterAt<Before, NameAt<After>>>
  : Known

type Values<Parameter extends Found> = {
  readonly [P in Parameter as P['name']]: P['list'] extends true ? readonly SqlValue[] : SqlValue
}

/** Values for each `:name` of the text; a list for `IN (:name)`. */
export type PlatformParameters<Sql extends string> = Values<FoundIn<Sql>>

/** The same without the tenant: only `forTenant` sets that. */
export type TenantParameters<Sql extends string> = Values<Exclude<FoundIn<Sql>, { name: 'tenantId' }>>

/** A name, with nothing else around it. */
type IsName<Text extends string> = Text extends '' | `${string}${' ' | '(' | ')' | ',' | '\n'}${string}` ? false : true

type BeginsWithTenant<Condition extends string> = Condition extends `tenant_id = :tenantId${infer Rest}`
  ? EndsCondition<Rest>
  : Condition extends `${infer Alias}.tenant_id = :tenantId${infer Rest}`
    ? IsName<Alias> extends true
      ? EndsCondition<Rest>
      : false
    : false

/** `:tenantIdOfSomebody` is another parameter, and `OR` behind it would open the statement to everybody. */
type EndsCondition<Rest extends string> = Rest extends `${NameCharacter}${string}`
  ? false
  : Rest extends `${' ' | '\n'}OR ${string}`
    ? false
    : true

/** Tables after the first one: each is joined by the tenant too. */
type JoinsByTenant<Source extends string> = Source extends `${infer First}JOIN ${infer Joined}`
  ? First extends `${string},${string}`
    ? false
    : EveryJoin<Joined>
  : Source extends `${string},${string}`
    ? false
    : true
type EveryJoin<Joined extends string> = Joined extends `${infer One}JOIN ${infer Others}`
  ? IsJoinedByTenant<One> extends true
    ? EveryJoin<Others>
    : false
  : IsJoinedByTenant<Joined>
type IsJoinedByTenant<Joined extends string> =
  Joined extends `${string}ON ${string}.tenant_id = ${string}.tenant_id${string}` ? true : false

/** What stands behind FROM, up to the next FROM. */
type SourceKeepsToTenant<Source extends string> = Source extends `(SELECT ${string}`
  ? true
  : Source extends `${infer Tables}WHERE ${infer Condition}`
    ? JoinsByTenant<Tables> extends true
      ? BeginsWithTenant<Condition>
      : false
    : false

type EverySource<Sql extends string> = Sql extends `${infer Source}FROM ${infer Others}`
  ? SourceKeepsToTenant<Source> extends true
    ? EverySource<Others>
    : false
  : SourceKeepsToTenant<Sql>

type KeepsToTenant<Sql extends string> = Sql extends `INSERT INTO ${infer Table} (tenant_id, ${infer Inserted}`
  ? IsName<Table> extends true
    ? Inserted extends `${string}VALUES (:tenantId, ${string}` | `${string}SELECT :tenantId, ${string}`
      ? Inserted extends `${string}FROM ${infer Sources}`
        ? EverySource<Sources>
        : true
      : false
    : false
  : Sql extends `UPDATE ${infer Table} SET ${infer Changes}WHERE ${infer Condition}`
    ? IsName<Table> | BeginsWithTenant<Condition> extends true
      ? `${Changes}${Condition}` extends `${string}FROM ${infer Sources}`
        ? EverySource<Sources>
        : true
      : false
    : Sql extends `${'SELECT' | 'DELETE'}${string}FROM ${infer Sources}`
      ? EverySource<Sources>
      : false

/** What the compiler shows of a text that is refused. */
type Refused<Reason extends string> = { readonly refused: Reason }

/** Nothing more when the statement keeps to one tenant; otherwise something that no text is. */
export type OfOneTenant<Sql extends string> = string extends Sql
  ? Refused<'the text of a statement is a literal, so that the compiler can read it'>
  : KeepsToTenant<Sql> extends true
    ? unknown
    : Refused<'FROM and UPDATE need "WHERE tenant_id = :tenantId" first, JOIN "ON a.tenant_id = b.tenant_id", INSERT "(tenant_id, …) VALUES (:tenantId, …)"'>
