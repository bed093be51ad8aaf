import { useChat } from '@ai-sdk/react'
import type { FileUIPart } from 'ai'
import { useEffect, useRef, useState } from 'react'

import type { Message } from './api-types'
import { type Choice, ChatTransport } from './chat-transport'
import { isUnused, noteUse } from './conversation-ids'
import { conversationsChanged, markMistake, stopAnswer } from './conversations'
import { filesOf } from './files'
import { rememberGuest } from './guest-list'
import { textOf, titleOf } from './messages'
import { Problem } from './problem'
import { session } from './session'

const STOP_ATTEMPTS = 5
const STREAM_END_MS = 150

/** What was asked for last: to be taken back when Parley refuses it. */
type Attempt = { before: Message[]; text?: string; files: FileUIPart[]; editedId?: string }

type Options = {
  id: string
  history: Message[]
  /** The model and the effort of the next request. */
  choice: Choice
  onTitle: (title: string) => void
  /** Gives back a message, or an edit, that was refused and is not stored. */
  onRefused: (text: string, files: FileUIPart[], editedId?: string) => void
  /** Called with each answer that has ended. */
  onAnswer: (answer: Message) => void
}

/** `useChat` for one conversation of Parley, with what Parley can do besides. */
export function useParleyChat({ id, history, choice, onTitle, onRefused, onAnswer }: Options) {
  const attempt = useRef<Attempt | null>(null)
  const end = useRef<() => void>(() => {})
  /** The last answer was stopped before it said anything. */
  const isBlank = useRef(false)
  const [isStopping, setIsStopping] = useState(false)
  // Only the first time counts: to come back to an answer that was begun before.
  const [resume] = useState(() => !isUnused(id))
  const latest = useRef(choice)
  useEffect(() => {
    latest.current = choice
  })
  const [transport] = useState(() => new ChatTransport(id, history, () => latest.current))

  const chat = useChat<Message>({
    id,
    messages: history,
    transport,
    resume,
    throttle: 50,
    onData: ({ type, data }) => {
      if (type !== 'data-conversation') return
      onTitle(data.title)
      if (!session.get()) rememberGuest(id, { title: data.title })
    },
    onError: takeBack,
    onFinish: ({ message, isError }) => {
      attempt.current = null
      end.current()
      conversationsChanged.emit()
      if (isError) return
      // A stopped answer is the only one that ends without a word about why.
      const reason = message.metadata?.finish_reason ?? 'aborted'
      // Stopped before it said anything, it is no answer. (It may be stored, if the model had begun
      // to think.)
      isBlank.current =
        reason === 'aborted' && message.parts.every(({ type }) => type === 'step-start')
      if (isBlank.current) {
        setMessages((all) => all.filter(({ id }) => id !== message.id))
        return
      }
      const ended = { ...message, metadata: { ...message.metadata, finish_reason: reason } }
      replace(ended)
      onAnswer(ended)
    },
  })
  const { messages, setMessages, status } = chat
  const isAnswering = status === 'submitted' || status === 'streaming'

  function replace(message: Message): void {
    setMessages((all) => all.map((each) => (each.id === message.id ? message : each)))
  }

  function takeBack(error: Error): void {
    if (!attempt.current || !(error instanceof Problem)) return
    const { before, text, files, editedId } = attempt.current
    // What failed may be tried again as it stands, unless nothing was asked but another answer.
    if (error.isPassing && text !== undefined) return
    setMessages(before)
    if (text !== undefined) onRefused(text, files, editedId)
  }

  function begin(text?: string, files: FileUIPart[] = [], editedId?: string): void {
    attempt.current = { before: messages, text, files, editedId }
    noteUse(id)
    if (!session.get()) rememberGuest(id, messages.length || !text ? {} : { title: titleOf(text) })
  }

  /** `stop()` alone would only end the reading: the answer would be finished, and hold the turn. */
  async function stop(): Promise<void> {
    setIsStopping(true)
    let isOver = false
    const over = new Promise<void>((resolve) => {
      end.current = () => resolve()
    }).then(() => {
      isOver = true
    })
    try {
      // Parley ends the stream with what it has stored: nothing is shown that is not kept. Again
      // where it does not: what came before its message found nothing to stop.
      for (let attempts = 0; !isOver && attempts < STOP_ATTEMPTS; attempts += 1) {
        await stopAnswer(id)
        await Promise.race([over, new Promise((resolve) => setTimeout(resolve, STREAM_END_MS))])
      }
      await chat.stop()
    } finally {
      setIsStopping(false)
    }
  }

  return {
    messages: messages.filter((each, index) => !isReplaced(each, messages[index + 1])),
    error: chat.error,
    isAnswering,
    isStopping,
    prepend: (earlier: Message[]) => setMessages((all) => [...earlier, ...all]),
    send: (text: string, files: FileUIPart[]) => {
      begin(text, files)
      void chat.sendMessage(text ? { text, files } : { files })
    },
    edit: (messageId: string, text: string) => {
      const edited = messages.find((each) => each.id === messageId)
      const files = edited ? filesOf(edited) : []
      begin(text, files, messageId)
      void chat.sendMessage({ text, files, messageId })
    },
    regenerate: (messageId: string) => {
      begin()
      void chat.regenerate({ messageId })
    },
    /** Send the last question again, as it was: Parley answers it now, or sends what it has. */
    retry: () => {
      const asked = messages.findLast((each) => each.role === 'user')
      if (!asked) return
      begin(textOf(asked), filesOf(asked))
      if (isBlank.current) {
        void chat.regenerate({ messageId: asked.id })
        return
      }
      void chat.sendMessage({ role: 'user', parts: asked.parts, messageId: asked.id })
    },
    stop,
    mark: async (messageId: string, note: string | null) => {
      const mark = note === null ? { is_mistake: false } : { is_mistake: true, mistake_note: note }
      replace(await markMistake(id, messageId, mark))
    },
  }
}

/** While an answer is made again, history has the old one still; resumed, the new one follows it. */
function isReplaced(message: Message, next: Message | undefined): boolean {
  return message.role === 'assistant' && next?.role === 'assistant'
}
