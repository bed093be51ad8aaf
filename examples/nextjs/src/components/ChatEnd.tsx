'use client'

import { Problem, wordsFor } from '@/lib/problem'
import type { ParleyChat } from './MessageList'
import { Notice } from './Notice'

type Props = { chat: ParleyChat; onReload: () => void; isArchived: boolean }

/** What stands below the last message: that an answer is on its way, or why there is none. */
export function ChatEnd({ chat, onReload, isArchived }: Props) {
  const { error, isAnswering, messages, retry } = chat
  const isUnanswered = messages.at(-1)?.role === 'user'

  if (isAnswering) return isUnanswered ? <p className="quiet thinking">Thinking …</p> : null
  if (error instanceof Problem && error.code === 'conversation_moved_on') {
    return <Notice words={wordsFor(error)} label="Reload it" onAct={onReload} />
  }
  if (error instanceof Problem && error.code === 'not_found') {
    return <Notice words="This conversation is not yours. Begin a new chat to go on." />
  }
  if (error instanceof Problem && !error.isPassing) return <Notice words={wordsFor(error)} />
  if (error) return <Notice words={wordsFor(error)} label="Try again" onAct={retry} />
  if (!isUnanswered || isArchived) return null
  return (
    // Seen after a moment: a page that has just been loaded may find an answer on its way.
    <div className="unanswered">
      <p className="quiet">This message has no answer.</p>
      <button type="button" onClick={retry}>
        Answer it
      </button>
    </div>
  )
}
