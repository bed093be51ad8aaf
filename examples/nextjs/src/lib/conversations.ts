/** Conversations: what can be done with them. A guest reaches one by its key. */

import type {
  Conversation,
  ConversationChange,
  ConversationPage,
  ConversationStatus,
  HistoryPage,
  Message,
  MistakeMark,
} from './api-types'
import { query, request } from './api'
import { keyOf } from './guest-keys'
import { forgetGuest, guestList, rememberGuest } from './guest-list'
import { Problem } from './problem'
import { session } from './session'
import { createSignal } from './signal'

/** Emitted after each change, for the list. */
export const conversationsChanged = createSignal()

export type ListQuery = { status: ConversationStatus; words: string; cursor: string | null }

/** One page of the user's conversations, or of those that hold the words. */
export function listConversations({ status, words, cursor }: ListQuery): Promise<ConversationPage> {
  return request(`/api/conversations${query({ status, q: words, cursor })}`)
}

/** One page of messages, oldest first; null: nothing was said there yet, or it is not ours. */
export async function loadHistory(id: string, before?: string): Promise<HistoryPage | null> {
  try {
    const path = `/api/history${query({ conversation_id: id, before })}`
    return await request(path, { conversation: id })
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null
    throw error
  }
}

/** Rename a conversation, archive it or make it active again. */
export async function changeConversation(
  id: string,
  change: ConversationChange,
): Promise<Conversation> {
  const body = { method: 'PATCH', body: change, conversation: id }
  const changed = await request<Conversation>(`/api/conversations${query({ id })}`, body)
  if (!session.get()) rememberGuest(id, { title: changed.title, status: changed.status })
  conversationsChanged.emit()
  return changed
}

export async function deleteConversation(id: string): Promise<void> {
  await request(`/api/conversations${query({ id })}`, { method: 'DELETE', conversation: id })
  forgetGuest(id)
  conversationsChanged.emit()
}

/** Give what was said as a guest to the user whose token it is. */
export async function claimGuestConversations(token: string): Promise<void> {
  for (const { id } of guestList.get()) {
    const key = keyOf(id)
    // An id alone claims nothing.
    if (!key) continue
    try {
      const claim = { method: 'PATCH', body: { claim: true }, token, key }
      await request(`/api/conversations${query({ id })}`, claim)
      forgetGuest(id)
    } catch (error) {
      // Gone, or somebody's already. All else (an answer is just being made) waits for next time.
      if (error instanceof Problem && error.status === 404) forgetGuest(id)
    }
  }
}

/** Stop the answer that is being made; when this returns, the next message is welcome. */
export function stopAnswer(id: string): Promise<null> {
  const path = `/api/chat/${encodeURIComponent(id)}/stream`
  return request(path, { method: 'DELETE', conversation: id })
}

/** Mark an answer as a mistake, or take that back. */
export function markMistake(id: string, messageId: string, mark: MistakeMark): Promise<Message> {
  const which = query({ id: messageId, conversation_id: id })
  return request(`/api/messages${which}`, { method: 'PATCH', body: mark, conversation: id })
}
