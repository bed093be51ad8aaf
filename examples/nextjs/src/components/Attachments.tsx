'use client'

import type { FileUIPart } from 'ai'

import { addressOf, isPicture } from '@/lib/files'

type Props = { files: FileUIPart[]; onChange: (files: FileUIPart[]) => void }

/** The files of the message that is being written. */
export function Attachments({ files, onChange }: Props) {
  if (files.length === 0) return null
  return (
    <ul className="attachments" aria-label="Files of your message">
      {files.map((file, index) => (
        <li key={index} className="chip">
          {isPicture(file) && <img src={addressOf(file)} alt="" />}
          <span>{file.filename}</span>
          <button
            type="button"
            className="link"
            aria-label={`Remove ${file.filename}`}
            onClick={() => onChange(files.filter((each) => each !== file))}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  )
}
