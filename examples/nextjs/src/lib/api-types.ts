/** What Parley sends and takes, as its HTTP interface names it. The only file that says so. */

import type { UIMessage } from 'ai'

export type ConversationStatus = 'active' | 'archived'

export type Conversation = {
  id: string
  title: string | null
  status: ConversationStatus
  created_at: string
  updated_at: string
}

export type ConversationSummary = Conversation & {
  message_count: number
  last_message: string | null
}

/** `excerpt` is HTML in which `<mark>` is all that is not escaped. */
export type FoundConversation = Conversation & { excerpt: string }

export type ConversationPage = {
  conversations: (ConversationSummary | FoundConversation)[]
  next_cursor: string | null
}

export type ConversationChange = {
  title?: string
  status?: ConversationStatus
  claim?: true
}

export type AnswerMetadata = {
  conversation_id?: string
  finish_reason?: string | null
  model_name?: string | null
  prompt_tokens?: number | null
  completion_tokens?: number | null
}

/** The columns beside the AI SDK's fields. A message that has just been streamed lacks them. */
export type MessageColumns = {
  created_at?: string
  is_mistake?: boolean
  mistake_note?: string | null
}

/** What the stream tells by `data-…` parts. */
export type StreamData = { conversation: { id: string; title: string } }

export type Message = UIMessage<AnswerMetadata, StreamData> & MessageColumns

export type HistoryPage = {
  conversation: Conversation
  messages: Message[]
  next_cursor: string | null
}

export type MistakeMark = { is_mistake: boolean; mistake_note?: string }

export type Task = {
  id: number
  title: string
  description: string
  completed: boolean
  created_at: string
  updated_at: string
}

export type TaskPage = { tasks: Task[]; next_cursor: string | null }

export type NewTask = { title: string; description?: string }

export type TaskChange = { title?: string; description?: string; completed?: boolean }

export type Credentials = {
  action: 'login' | 'register'
  email: string
  password: string
  name?: string
}

export type SignedIn = {
  token: string
  expires_at: string
  user: { id: string; email: string | null; name: string | null }
}

/** RFC 9457. */
export type ProblemDetails = {
  type: string
  title: string
  status: number
  code: string
  detail: string
  errors?: { field: string; detail: string }[]
}
