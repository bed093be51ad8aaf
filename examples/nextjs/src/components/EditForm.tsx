'use client'

import { type FormEvent, type KeyboardEvent, useState } from 'react'

type Props = { text: string; onSave: (text: string) => void; onCancel: () => void }

export function EditForm({ text, onSave, onCancel }: Props) {
  const [edited, setEdited] = useState(text)

  function submit(event: FormEvent): void {
    event.preventDefault()
    if (edited.trim()) onSave(edited.trim())
  }

  function cancelOnEscape(event: KeyboardEvent): void {
    if (event.key === 'Escape') onCancel()
  }

  return (
    <form className="stack edit" onSubmit={submit} onKeyDown={cancelOnEscape}>
      <textarea
        aria-label="Edited message"
        autoFocus
        rows={3}
        value={edited}
        onChange={(event) => setEdited(event.target.value)}
      />
      <p className="quiet">What came after this message is replaced.</p>
      <div className="row">
        <button type="submit" className="main">
          Send again
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  )
}
