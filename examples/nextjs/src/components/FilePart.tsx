'use client'

import type { FileUIPart } from 'ai'

import { addressOf, isPicture } from '@/lib/files'

/** A file of a message: a picture as it is, any other as a download, because HTML must not run here. */
export function FilePart({ file }: { file: FileUIPart }) {
  const name = file.filename ?? (isPicture(file) ? 'Picture' : 'File')
  if (isPicture(file)) return <img className="picture" src={addressOf(file)} alt={name} />
  if (file.url.startsWith('data:')) return <p className="chip">{name}</p>
  return (
    <p className="chip">
      <a href={addressOf(file)} download={file.filename ?? ''} rel="noreferrer">
        {name}
      </a>
    </p>
  )
}
