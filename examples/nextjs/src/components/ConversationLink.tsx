'use client'

import Link from 'next/link'
import { usePathname } from 'next/navigation'

import type { Conversation, ConversationPage } from '@/lib/api-types'
import { splitExcerpt } from '@/lib/excerpts'
import { Time } from './Time'

type Props = {
  conversation: Conversation | ConversationPage['conversations'][number]
  onOpen: () => void
}

export function ConversationLink({ conversation, onOpen }: Props) {
  const path = `/chat/${conversation.id}`
  const isCurrent = usePathname() === path
  const excerpt = 'excerpt' in conversation ? conversation.excerpt : null
  return (
    <li>
      <Link
        href={path}
        prefetch={false}
        aria-current={isCurrent ? 'page' : undefined}
        onClick={onOpen}
      >
        <b>{conversation.title ?? 'Untitled'}</b>
        {excerpt && (
          <span className="excerpt">
            {splitExcerpt(excerpt).map((text, index) =>
              index % 2 ? <mark key={index}>{text}</mark> : text,
            )}
          </span>
        )}
        <Time at={conversation.updated_at} />
      </Link>
    </li>
  )
}
