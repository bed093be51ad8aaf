'use client'

import { type FormEvent, useState } from 'react'

import { wordsFor } from '@/lib/problem'
import { Dialog } from './Dialog'

type Props = { title: string; onRename: (title: string) => Promise<void>; onClose: () => void }

export function RenameDialog({ title, onRename, onClose }: Props) {
  const [problem, setProblem] = useState('')

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault()
    try {
      await onRename(String(new FormData(event.currentTarget).get('title')))
      onClose()
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  return (
    <Dialog title="Rename conversation" onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <label>
          Title
          <input name="title" defaultValue={title} maxLength={255} required />
        </label>
        <p className="problem" role="alert">
          {problem}
        </p>
        <div className="row">
          <button type="submit" className="main">
            Rename
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  )
}
