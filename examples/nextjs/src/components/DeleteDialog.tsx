'use client'

import { useState } from 'react'

import { wordsFor } from '@/lib/problem'
import { Dialog } from './Dialog'

type Props = { title: string; onDelete: () => Promise<void>; onClose: () => void }

export function DeleteDialog({ title, onDelete, onClose }: Props) {
  const [problem, setProblem] = useState('')

  return (
    <Dialog title="Delete conversation?" onClose={onClose}>
      <div className="stack">
        <p>“{title}” and all its messages are deleted for good.</p>
        <p className="problem" role="alert">
          {problem}
        </p>
        <div className="row">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button
            type="button"
            className="danger"
            onClick={() => onDelete().catch((error) => setProblem(wordsFor(error)))}
          >
            Delete
          </button>
        </div>
      </div>
    </Dialog>
  )
}
