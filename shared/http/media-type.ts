/** The media type of a `content-type` header without its parameters, in lower case; empty when there is none. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return ''
  const semicolon = contentType.indexOf(';')
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
}

/** JSON by its media type, in UTF-8 (RFC 8259 allows no other between systems). */
export function isJson(contentType: string | undefined): boolean {
  const type = mediaTypeOf(contentType)
  if (type !== 'application/json' && !/^application\/[\w.+-]+\+json$/.test(type)) return false
  const charset = /;\s*charset\s*=\s*"?([\w-]+)"?/i.exec(contentType ?? '')?.[1]
  return charset === undefined || /^utf-?8$/i.test(charset)
}
