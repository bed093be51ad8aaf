'use client'

import type { ConversationStatus } from '@/lib/api-types'
import { guestList } from '@/lib/guest-list'
import { ConversationLink } from './ConversationLink'

type Props = { status: ConversationStatus; onOpen: () => void }

/** A guest's conversations, as this browser remembers them. */
export function GuestConversations({ status, onOpen }: Props) {
  const items = guestList.use()?.filter((each) => each.status === status) ?? []
  return (
    <>
      <ul>
        {items.map((each) => (
          <ConversationLink key={each.id} conversation={each} onOpen={onOpen} />
        ))}
      </ul>
      <p className="quiet">
        Only this browser knows of a guest’s conversations. Sign in to keep and to search them.
      </p>
    </>
  )
}
