/** What Parley sends and takes. All of it is generated, by `npm run types`; here it has short names. */

import type { UIMessage } from 'ai'

import type { components } from './openapi'

type Schemas = components['schemas']

export type Conversation = Schemas['Conversation']
export type ConversationStatus = Conversation['status']
export type ConversationPage = Schemas['ConversationPage']
export type ConversationChange = Schemas['ConversationChange']
export type NewConversation = Schemas['NewConversation']
export type MistakeMark = Schemas['MistakeMark']
export type Model = Schemas['Model']
export type ModelList = Schemas['ModelList']
export type Task = Schemas['Task']
export type TaskPage = Schemas['TaskPage']
export type NewTask = Schemas['NewTask']
export type TaskChange = Schemas['TaskChange']
export type Credentials = Schemas['Credentials']
export type Registered = Schemas['Registered']
export type SignedIn = Schemas['SignedIn']
export type Upload = Schemas['Upload']
export type ProblemDetails = Schemas['Problem']

/** The AI SDK's message, with what Parley adds to it. One that has just been streamed has less. */
export type Message = UIMessage<Partial<Schemas['AnswerMetadata']>, StreamData> &
  Partial<Pick<Schemas['AssistantMessage'], 'created_at' | 'is_mistake' | 'mistake_note'>>

/** What the stream tells by `data-…` parts. */
type StreamData = { conversation: Schemas['ConversationChunk']['data'] }

/** A page of history: its messages are the AI SDK's, as they are. */
export type HistoryPage = Omit<Schemas['HistoryPage'], 'messages'> & { messages: Message[] }
