'use client'

import { useCallback, useEffect, useState } from 'react'

import type { Conversation as Row, HistoryPage } from '@/lib/api-types'
import { isUnused } from '@/lib/conversation-ids'
import { loadHistory } from '@/lib/conversations'
import { keyOf } from '@/lib/guest-keys'
import { titleOf } from '@/lib/messages'
import { wordsFor } from '@/lib/problem'
import { session } from '@/lib/session'
import { Chat } from './Chat'
import { ConversationHeader } from './ConversationHeader'
import { NewChat } from './NewChat'
import { Notice } from './Notice'

type History = Pick<HistoryPage, 'messages' | 'next_cursor'>

const NOTHING: History = { messages: [], next_cursor: null }

/** One conversation: its history is loaded, then the chat begins. */
export function Conversation({ id }: { id: string }) {
  const [history, setHistory] = useState<History | null>(isUnused(id) ? NOTHING : null)
  const [row, setRow] = useState<Pick<Row, 'title' | 'status' | 'model'> | null>(null)
  const [draft, setDraft] = useState('')
  const [problem, setProblem] = useState('')
  const [isMissing, setIsMissing] = useState(false)

  const token = session.use()?.token

  const load = useCallback(async () => {
    setHistory(null)
    setProblem('')
    try {
      const page = await loadHistory(id)
      // A guest says nothing under an id that this browser has no key for: its maker would read along.
      setIsMissing(!page && !session.get() && !keyOf(id))
      setRow(page?.conversation ?? null)
      setHistory(page ?? NOTHING)
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }, [id])
  useEffect(() => {
    if (!isUnused(id)) void load()
    // Again for who has signed in again.
  }, [id, load, token])

  const title = isMissing ? 'This conversation does not exist' : (row?.title ?? 'New chat')
  useEffect(() => {
    document.title = `${title} · Chat`
  }, [title])

  return (
    <>
      <ConversationHeader id={id} title={title} status={row?.status} onChange={setRow} />
      {problem && <Notice words={problem} label="Try again" onAct={load} />}
      {!history && !problem && (
        <p className="loading quiet" role="status">
          Loading …
        </p>
      )}
      {isMissing && (
        <div className="empty">
          <p>It was deleted, or another browser has its key.</p>
          <NewChat />
        </div>
      )}
      {history && !isMissing && (
        <Chat
          id={id}
          history={history.messages}
          cursor={history.next_cursor}
          isArchived={row?.status === 'archived'}
          model={row?.model ?? null}
          draft={draft}
          onDraft={setDraft}
          onTitle={(title) => setRow((known) => ({ status: 'active', model: null, ...known, title }))}
          onAnswer={(beginning) =>
            setRow((known) => known ?? { status: 'active', model: null, title: titleOf(beginning) })
          }
          onReload={load}
        />
      )}
    </>
  )
}
