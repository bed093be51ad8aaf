'use client'

import { type FormEvent, useState } from 'react'

import { wordsFor } from '@/lib/problem'
import { Dialog } from './Dialog'

type Props = {
  isMistake: boolean
  note: string
  /** Marks with a note; null: takes the mark back. */
  onMark: (note: string | null) => Promise<void>
}

/** Tells Parley that an answer is wrong, and the model in later turns of the conversation. */
export function MistakeForm({ isMistake, note, onMark }: Props) {
  const [isOpen, setIsOpen] = useState(false)
  const [problem, setProblem] = useState('')

  async function mark(given: string | null): Promise<void> {
    try {
      await onMark(given)
      setProblem('')
      setIsOpen(false)
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  function submit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault()
    void mark(String(new FormData(event.currentTarget).get('note')).trim())
  }

  return (
    <>
      <button
        type="button"
        className={isMistake ? 'link marked' : 'link'}
        onClick={() => setIsOpen(true)}
      >
        {isMistake ? 'Marked as a mistake' : 'Mark as a mistake'}
      </button>
      {isOpen && (
        <Dialog title="Is this answer wrong?" onClose={() => setIsOpen(false)}>
          <form className="stack" onSubmit={submit}>
            <label>
              What is wrong with it (optional)
              <textarea name="note" rows={3} defaultValue={note} />
            </label>
            <p className="problem" role="alert">
              {problem}
            </p>
            <div className="row">
              <button type="submit" className="main">
                {isMistake ? 'Change the note' : 'Mark as a mistake'}
              </button>
              {isMistake && (
                <button type="button" onClick={() => mark(null)}>
                  It is right after all
                </button>
              )}
              <button type="button" onClick={() => setIsOpen(false)}>
                Cancel
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  )
}
