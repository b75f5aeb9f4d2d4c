/** Reads a document as a whole, and tells when it changes. */
import { watch as watchFolder, type FSWatcher } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { hash } from 'node:crypto'
import { dirname } from 'node:path'
import { maximumDocumentBytes } from './parse-document.ts'

/** `key` is the same exactly when there is nothing new to decide. */
export type FileContent =
  | { kind: 'text'; key: string; text: string; digest: string }
  | { kind: 'absent'; key: string }
  | { kind: 'unreadable'; key: string; reason: string }

export async function readDocument(file: string): Promise<FileContent> {
  try {
    const handle = await open(file)
    try {
      // Not more of it than is needed to know that it is too much.
      const { size } = await handle.stat()
      return contentOf(size > maximumDocumentBytes ? Buffer.alloc(maximumDocumentBytes + 1) : await handle.readFile())
    } finally {
      await handle.close()
    }
  } catch (error) {
    return failedContent(error)
  }
}

/** What was read, as far as it is text of a bearable size. */
export function contentOf(bytes: Buffer): FileContent {
  if (bytes.length > maximumDocumentBytes) {
    return { kind: 'unreadable', key: 'too-large', reason: `it has more than ${maximumDocumentBytes} bytes` }
  }
  const digest = hash('sha256', bytes, 'hex').slice(0, 12)
  try {
    return { kind: 'text', key: digest, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), digest }
  } catch {
    return { kind: 'unreadable', key: `not-utf-8 ${digest}`, reason: 'it is not UTF-8' }
  }
}

export function failedContent(error: unknown): FileContent {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
  if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'absent', key: 'absent' }
  return { kind: 'unreadable', key: code, reason: `it cannot be read (${code})` }
}

export type FolderWatch = {
  /** Watches again when the folder came into being or was replaced since; cheap when nothing happened. */
  renew(): Promise<void>
  close(): void
}

/**
 * Calls `changed` on anything that happens in the file's folder: editors rename over the file, and a ConfigMap mount renames the
 * link `..data` beside it, so watching the file itself would follow what is no longer there. It may miss changes: on some file
 * systems it always does.
 */
export function watchFolderOf(file: string, changed: () => void): FolderWatch {
  const folder = dirname(file)
  let watcher: FSWatcher | undefined
  let watchedInode: number | undefined
  let closed = false
  const end = () => {
    watcher?.close()
    watcher = undefined
  }
  return {
    async renew() {
      const inode = await stat(folder).then(
        ({ ino }) => ino,
        () => undefined,
      )
      if (closed || (watcher !== undefined && inode === watchedInode)) return
      end()
      if (inode === undefined) return
      try {
        watcher = watchFolder(folder, { persistent: false }, changed)
        // Without this a folder that goes away would end the process.
        watcher.on('error', end)
        watchedInode = inode
      } catch {
        // No watches left, or none on this file system: polling finds the changes.
      }
    },
    close() {
      closed = true
      end()
    },
  }
}
