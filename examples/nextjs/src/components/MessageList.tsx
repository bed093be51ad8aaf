'use client'

import type { useParleyChat } from '@/lib/use-parley-chat'
import { Answer } from './Answer'
import { Question } from './Question'

export type ParleyChat = ReturnType<typeof useParleyChat>
export type Edited = { id: string; text: string } | null

type Props = {
  chat: ParleyChat
  edited: Edited
  onEdit: (edited: Edited) => void
  canChange: boolean
}

export function MessageList({ chat, edited, onEdit, canChange }: Props) {
  const last = chat.messages.at(-1)
  return chat.messages.map((message) =>
    message.role === 'user' ? (
      <Question
        key={message.id}
        message={message}
        edit={edited?.id === message.id ? edited.text : null}
        onEdit={(text) => onEdit(text === null ? null : { id: message.id, text })}
        onSave={(text) => {
          onEdit(null)
          chat.edit(message.id, text)
        }}
        canEdit={canChange}
      />
    ) : (
      <Answer
        key={message.id}
        message={message}
        isStreaming={chat.isAnswering && message === last}
        onRegenerate={
          canChange && message === last ? () => chat.regenerate(message.id) : undefined
        }
        onMark={(note) => chat.mark(message.id, note)}
      />
    ),
  )
}
