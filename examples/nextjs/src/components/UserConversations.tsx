'use client'

import { useCallback, useEffect } from 'react'

import type { ConversationStatus } from '@/lib/api-types'
import { conversationsChanged, listConversations } from '@/lib/conversations'
import { wordsFor } from '@/lib/problem'
import { session } from '@/lib/session'
import { usePages } from '@/lib/use-pages'
import { ConversationLink } from './ConversationLink'

type Props = { status: ConversationStatus; words: string; onOpen: () => void }

/** A signed-in user's conversations, as Parley lists or finds them. */
export function UserConversations({ status, words, onOpen }: Props) {
  const token = session.use()?.token
  const load = useCallback(
    async (cursor: string | null) => {
      const page = await listConversations({ status, words, cursor })
      return { items: page.conversations, next_cursor: page.next_cursor }
    },
    // Anew for who has signed in again.
    [status, words, token],
  )
  const { items, isLoading, error, reload, loadMore } = usePages(load)
  useEffect(() => conversationsChanged.subscribe(reload), [reload])

  const nothing = words ? 'Nothing found.' : 'No conversations here.'
  const note = error ? wordsFor(error) : isLoading ? 'Loading …' : items.length ? '' : nothing
  return (
    <>
      <ul>
        {items.map((each) => (
          <ConversationLink key={each.id} conversation={each} onOpen={onOpen} />
        ))}
      </ul>
      <p className="quiet" role="status">
        {note}
      </p>
      {loadMore && (
        <button type="button" onClick={loadMore}>
          Show more
        </button>
      )}
    </>
  )
}
