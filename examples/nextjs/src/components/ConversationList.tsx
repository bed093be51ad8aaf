'use client'

import { useState } from 'react'

import type { ConversationStatus } from '@/lib/api-types'
import { session } from '@/lib/session'
import { useDebounced } from '@/lib/use-debounced'
import { GuestConversations } from './GuestConversations'
import { UserConversations } from './UserConversations'

/** The caller's conversations: active or archived ones, or those that hold some words. */
export function ConversationList({ onOpen }: { onOpen: () => void }) {
  const [status, setStatus] = useState<ConversationStatus>('active')
  const [typed, setTyped] = useState('')
  const words = useDebounced(typed.trim(), 250)
  const isGuest = session.use() === null

  return (
    <nav className="conversations" aria-label="Conversations">
      <div className="filters">
        {!isGuest && (
          <input
            type="search"
            aria-label="Search conversations"
            placeholder="Search"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
        <select
          aria-label="Which conversations"
          value={status}
          onChange={(event) => setStatus(event.target.value as ConversationStatus)}
        >
          <option value="active">Active</option>
          <option value="archived">Archived</option>
        </select>
      </div>
      {isGuest ? (
        <GuestConversations status={status} onOpen={onOpen} />
      ) : (
        <UserConversations status={status} words={words} onOpen={onOpen} />
      )}
    </nav>
  )
}
