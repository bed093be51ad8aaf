/** Files of messages. */

import { convertFileListToFileUIParts, type FileUIPart } from 'ai'

import type { Message } from './api-types'

/** The files of an input, of a drop or of the clipboard, as `useChat` sends them. */
export function readFiles(files: FileList): Promise<FileUIPart[]> {
  return convertFileListToFileUIParts(files)
}

export function filesOf(message: Message): FileUIPart[] {
  return message.parts.filter((part) => part.type === 'file')
}

/** A picture that the message holds itself: one from elsewhere would tell its server who looks. */
export function isPicture({ url }: FileUIPart): boolean {
  return /^data:image\/(png|jpeg|gif|webp);base64,/.test(url)
}
