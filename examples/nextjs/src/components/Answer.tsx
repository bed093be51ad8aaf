'use client'

import { isFileUIPart, isReasoningUIPart, isToolUIPart } from 'ai'

import type { Message } from '@/lib/api-types'
import { endingOf, standInOf, textOf } from '@/lib/messages'
import { CopyButton } from './CopyButton'
import { FilePart } from './FilePart'
import { Markdown } from './Markdown'
import { MistakeForm } from './MistakeForm'
import { Sources } from './Sources'
import { Thought } from './Thought'
import { ToolCall } from './ToolCall'

type Props = {
  message: Message
  isStreaming: boolean
  /** Undefined: another answer cannot be asked for now. */
  onRegenerate?: () => void
  onMark: (note: string | null) => Promise<void>
}

/** What the assistant has said and done. */
export function Answer({ message, isStreaming, onRegenerate, onMark }: Props) {
  const ending = isStreaming ? undefined : endingOf(message)
  const standIn = standInOf(message)
  return (
    <article className="answer" aria-label="Answer" aria-busy={isStreaming}>
      {message.parts.map((part, index) => {
        if (part.type === 'text') {
          return <Markdown key={index} text={part.text} isStreaming={isStreaming} />
        }
        if (isReasoningUIPart(part)) return <Thought key={index} part={part} />
        if (isFileUIPart(part)) return <FilePart key={index} file={part} />
        return isToolUIPart(part) ? <ToolCall key={part.toolCallId} part={part} /> : null
      })}
      <Sources parts={message.parts} />
      {ending && <p className="quiet ending">{ending}</p>}
      {standIn && <p className="quiet ending">{standIn}</p>}
      {!isStreaming && (
        <div className="actions">
          <CopyButton text={textOf(message)} />
          {onRegenerate && (
            <button type="button" className="link" onClick={onRegenerate}>
              Regenerate
            </button>
          )}
          <MistakeForm
            isMistake={message.is_mistake ?? false}
            note={message.mistake_note ?? ''}
            onMark={onMark}
          />
        </div>
      )}
    </article>
  )
}
