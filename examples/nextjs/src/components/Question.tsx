'use client'

import type { Message } from '@/lib/api-types'
import { filesOf } from '@/lib/files'
import { textOf } from '@/lib/messages'
import { EditForm } from './EditForm'
import { FilePart } from './FilePart'

type Props = {
  message: Message
  /** The text it is to become; null: it is not being edited. */
  edit: string | null
  onEdit: (text: string | null) => void
  onSave: (text: string) => void
  canEdit: boolean
}

/** What the user has said. An edit replaces it, and all that came after it. */
export function Question({ message, edit, onEdit, onSave, canEdit }: Props) {
  const text = textOf(message)
  if (edit !== null) {
    return (
      <article className="question" aria-label="Your message, being edited">
        <EditForm text={edit} onSave={onSave} onCancel={() => onEdit(null)} />
      </article>
    )
  }
  return (
    <article className="question" aria-label="Your message">
      {text && <div className="text">{text}</div>}
      {filesOf(message).map((file, index) => (
        <FilePart key={index} file={file} />
      ))}
      {canEdit && (
        <div className="actions">
          <button type="button" className="link" onClick={() => onEdit(text)}>
            Edit
          </button>
        </div>
      )}
    </article>
  )
}
