'use client'

import { useRouter } from 'next/navigation'
import { useState } from 'react'

import type { Conversation, ConversationStatus } from '@/lib/api-types'
import { changeConversation, deleteConversation } from '@/lib/conversations'
import { wordsFor } from '@/lib/problem'
import { DeleteDialog } from './DeleteDialog'
import { RenameDialog } from './RenameDialog'

type Props = {
  id: string
  title: string
  /** Undefined: it does not exist yet, so there is nothing to do with it. */
  status: ConversationStatus | undefined
  onChange: (conversation: Conversation) => void
}

/** The title of the open conversation, and what can be done with it. */
export function ConversationHeader({ id, title, status, onChange }: Props) {
  const router = useRouter()
  const [asking, setAsking] = useState<'title' | 'deletion' | null>(null)
  const [problem, setProblem] = useState('')
  const close = () => setAsking(null)

  async function toggleArchived(): Promise<void> {
    setProblem('')
    try {
      const next = status === 'archived' ? 'active' : 'archived'
      onChange(await changeConversation(id, { status: next }))
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  async function remove(): Promise<void> {
    await deleteConversation(id)
    close()
    router.replace('/')
  }

  return (
    <header className="conversation-header">
      <h1>{title}</h1>
      {status && (
        <div className="row">
          <button type="button" onClick={() => setAsking('title')}>
            Rename
          </button>
          <button type="button" onClick={toggleArchived}>
            {status === 'archived' ? 'Make active' : 'Archive'}
          </button>
          <button type="button" onClick={() => setAsking('deletion')}>
            Delete
          </button>
        </div>
      )}
      <p className="problem" role="alert">
        {problem}
      </p>
      {asking === 'title' && (
        <RenameDialog
          title={title}
          onRename={async (given) => onChange(await changeConversation(id, { title: given }))}
          onClose={close}
        />
      )}
      {asking === 'deletion' && <DeleteDialog title={title} onDelete={remove} onClose={close} />}
    </header>
  )
}
