'use client'

import type { FileUIPart } from 'ai'

import { isPicture } from '@/lib/files'

/** A file of a message: a picture as it is, any other by its name, because HTML must not run here. */
export function FilePart({ file }: { file: FileUIPart }) {
  const name = file.filename ?? (isPicture(file) ? 'Picture' : 'File')
  if (isPicture(file)) return <img className="picture" src={file.url} alt={name} />
  return <p className="chip">{name}</p>
}
