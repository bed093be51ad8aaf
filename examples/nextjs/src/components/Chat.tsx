'use client'

import type { FileUIPart } from 'ai'
import { useState } from 'react'

import type { Message } from '@/lib/api-types'
import { loadHistory } from '@/lib/conversations'
import { textOf } from '@/lib/messages'
import { chosenModel, useModels } from '@/lib/models'
import { wordsFor } from '@/lib/problem'
import { useFollow } from '@/lib/use-follow'
import { useParleyChat } from '@/lib/use-parley-chat'
import { ChatEnd } from './ChatEnd'
import { Composer } from './Composer'
import { MessageList } from './MessageList'
import { ModelChoice } from './ModelChoice'
import { Notice } from './Notice'

type Props = {
  id: string
  history: Message[]
  /** Leads to the messages before `history`; null: there are none. */
  cursor: string | null
  isArchived: boolean
  /** The model that the conversation had last; null: none was chosen. */
  model: string | null
  draft: string
  onDraft: (text: string) => void
  onTitle: (title: string) => void
  /** Called after each answer, with how the conversation begins. */
  onAnswer: (beginning: string) => void
  onReload: () => void
}

/** The messages of a conversation, and the field for the next one. */
export function Chat(props: Props) {
  const { id, history, isArchived, draft, onDraft, onTitle, onAnswer, onReload } = props
  const [cursor, setCursor] = useState(props.cursor)
  const [edited, setEdited] = useState<{ id: string; text: string } | null>(null)
  const [files, setFiles] = useState<FileUIPart[]>([])
  const [spoken, setSpoken] = useState('')
  const [modelName, setModelName] = useState(props.model)
  const [effort, setEffort] = useState('')
  const models = useModels()
  const model = chosenModel(models, modelName)
  const [problem, setProblem] = useState('')

  const chat = useParleyChat({
    id,
    history,
    choice: {
      model: models.length > 1 ? model?.name : undefined,
      reasoning_effort: effort || undefined,
    },
    onTitle,
    onRefused: (text, files, editedId) => {
      if (editedId) return setEdited({ id: editedId, text })
      onDraft(text)
      setFiles(files)
    },
    onAnswer: (answer) => {
      onAnswer(chat.messages[0] ? textOf(chat.messages[0]) : '')
      setSpoken(`Answer: ${textOf(answer)}`)
    },
  })
  const { box, isAtEnd, toEnd } = useFollow(chat.messages)

  async function loadEarlier(): Promise<void> {
    if (!cursor) return
    try {
      const page = await loadHistory(id, cursor)
      const fromEnd = (box.current?.scrollHeight ?? 0) - (box.current?.scrollTop ?? 0)
      chat.prepend(page?.messages ?? [])
      setCursor(page?.next_cursor ?? null)
      // What was being read stays where it was.
      requestAnimationFrame(() => box.current?.scrollTo(0, box.current.scrollHeight - fromEnd))
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  return (
    <>
      {/* It scrolls, so a keyboard must reach it. */}
      <div ref={box} className="messages" role="region" aria-label="Messages" tabIndex={0}>
        {cursor && (
          <button type="button" className="earlier" onClick={loadEarlier}>
            Load earlier messages
          </button>
        )}
        {chat.messages.length === 0 && <p className="empty">Say something to begin.</p>}
        <MessageList
          chat={chat}
          edited={edited}
          onEdit={setEdited}
          canChange={!chat.isAnswering && !isArchived}
        />
        <ChatEnd chat={chat} onReload={onReload} isArchived={isArchived} />
        {problem && <Notice words={problem} />}
      </div>
      <p className="unseen" role="status">
        {chat.isAnswering ? 'An answer is being written.' : spoken}
      </p>
      <Composer
        conversation={id}
        draft={draft}
        onDraft={onDraft}
        files={files}
        onFiles={setFiles}
        onProblem={(error) => setProblem(wordsFor(error))}
        isArchived={isArchived}
        choice={
          <ModelChoice
            models={models}
            model={model}
            onModel={(name) => {
              setModelName(name)
              setEffort('')
            }}
            effort={effort}
            onEffort={setEffort}
          />
        }
        isAnswering={chat.isAnswering}
        isStopping={chat.isStopping}
        onSend={(text, files) => {
          setProblem('')
          chat.send(text, files)
          toEnd()
        }}
        onStop={() => {
          setProblem('')
          chat.stop().catch((error) => setProblem(`It was not stopped. ${wordsFor(error)}`))
        }}
        onLatest={isAtEnd ? null : toEnd}
      />
    </>
  )
}
