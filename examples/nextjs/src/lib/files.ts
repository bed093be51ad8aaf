/** Files of messages. */

import { convertFileListToFileUIParts, type FileUIPart } from 'ai'

import { API_URL, query, request } from './api'
import type { Message, Upload } from './api-types'
import { keyOf } from './guest-keys'
import { Problem } from './problem'
import { session } from './session'

/** Of all files of a message, so that the request stays below the 4 MB of its limit. */
const MAX_INLINE_BYTES = 2_500_000
const PIECE_BYTES = 4_000_000
/** What a link to a file of Parley's begins with. */
const LINK = '/api/files?'

/**
 * The files of an input, of a drop or of the clipboard, as `useChat` sends them: small ones by their
 * bytes, others by the link that an upload has.
 */
export async function readFiles(
  files: File[],
  attached: FileUIPart[],
  conversation: string,
): Promise<FileUIPart[]> {
  let room = MAX_INLINE_BYTES - attached.reduce((sum, file) => sum + inlineBytes(file), 0)
  const read: FileUIPart[] = []
  for (const file of files) {
    const isInline = file.size <= room
    if (isInline) room -= file.size
    read.push(...(isInline ? await inline(file) : [await upload(file, conversation)]))
  }
  return read
}

function inline(file: File): Promise<FileUIPart[]> {
  const list = new DataTransfer()
  list.items.add(file)
  return convertFileListToFileUIParts(list.files)
}

function inlineBytes({ url }: FileUIPart): number {
  return url.startsWith('data:') ? url.length * 0.75 : 0
}

/** In pieces, each a request of its own. A guest's file belongs to the conversation, which must exist. */
async function upload(file: File, conversation: string): Promise<FileUIPart> {
  const isGuest = session.get() === null
  if (isGuest && !keyOf(conversation)) {
    throw new Problem(422, { detail: `Send a first message; then you can attach ${file.name}.` }, 0)
  }
  const whose = isGuest ? { conversation_id: conversation } : {}
  const send = (place: Record<string, string | number>, piece: Blob): Promise<Upload> =>
    request(`/api/files${query({ ...place, ...whose })}`, { method: 'POST', body: piece, conversation })

  const about = { media_type: file.type, filename: file.name, size: file.size }
  let sent = await send(about, file.slice(0, PIECE_BYTES))
  while (sent.url === null) {
    const place = { id: sent.id, offset: sent.received }
    sent = await send(place, file.slice(sent.received, sent.received + PIECE_BYTES))
  }
  return { type: 'file', mediaType: sent.media_type, filename: file.name, url: sent.url }
}

export function filesOf(message: Message): FileUIPart[] {
  return message.parts.filter((part) => part.type === 'file')
}

/** A picture that Parley holds: one from elsewhere would tell its server who looks. */
export function isPicture({ url, mediaType }: FileUIPart): boolean {
  const isOwn = url.startsWith('data:') || url.startsWith(LINK)
  return isOwn && /^image\/(png|jpeg|gif|webp)$/.test(mediaType)
}

/** Where the page gets a file: Parley may be on another origin. */
export function addressOf({ url }: FileUIPart): string {
  return url.startsWith(LINK) ? API_URL + url : url
}
