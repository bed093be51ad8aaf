'use client'

import type { FileUIPart } from 'ai'
import { type FormEvent, type KeyboardEvent, type MouseEvent, type ReactNode, useEffect, useRef, useState } from 'react'

import { readFiles } from '@/lib/files'
import { Attachments } from './Attachments'

type Props = {
  conversation: string
  draft: string
  onDraft: (text: string) => void
  files: FileUIPart[]
  onFiles: (change: (files: FileUIPart[]) => FileUIPart[]) => void
  /** Files could not be attached. */
  onProblem: (error: unknown) => void
  isArchived: boolean
  /** The choice of the model. */
  choice: ReactNode
  isAnswering: boolean
  isStopping: boolean
  onSend: (text: string, files: FileUIPart[]) => void
  onStop: () => void
  /** Leads to the end of the conversation; null: it is in sight. */
  onLatest: (() => void) | null
}

/** The field for the next message. It can be written while an answer comes, and is sent after it. */
export function Composer(props: Props) {
  const { conversation, draft, onDraft, files, onFiles, onProblem, isArchived, choice, isAnswering, isStopping, onSend, onStop, onLatest } = props
  // Until a stop is answered, Parley would refuse the next message.
  const isBusy = isAnswering || isStopping
  const field = useRef<HTMLTextAreaElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  const [isAttaching, setAttaching] = useState(false)
  const isEmpty = !draft.trim() && files.length === 0

  useEffect(() => focusField(), [])

  function focusField(): void {
    // Where there is a keyboard at hand; on a phone it would cover the conversation.
    if (matchMedia('(pointer: fine)').matches) field.current?.focus()
  }

  function send(event: FormEvent | KeyboardEvent): void {
    event.preventDefault()
    if (isBusy || isEmpty || isAttaching) return
    onSend(draft.trim(), files)
    onDraft('')
    onFiles(() => [])
    field.current?.focus()
  }

  async function attach(chosen: FileList | null): Promise<void> {
    if (!chosen?.length || isAttaching) return
    setAttaching(true)
    try {
      const read = await readFiles([...chosen], files, conversation)
      onFiles((now) => [...now, ...read])
    } catch (error) {
      onProblem(error)
    }
    setAttaching(false)
    if (picker.current) picker.current.value = ''
    focusField()
  }

  function stop(event: MouseEvent): void {
    // The second click of two on Send comes when Stop has taken its place.
    if (event.detail > 1) return
    onStop()
    focusField() // the button that had the focus is about to go
  }

  function actOnKey(event: KeyboardEvent): void {
    // Enter also confirms what an input method composes, Escape drops it; Safari says so by 229 alone.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return
    if (event.key === 'Enter' && !event.shiftKey) send(event)
    if (event.key === 'Escape' && isAnswering && !isStopping) onStop()
  }

  if (isArchived) {
    return <p className="composer quiet">This conversation is archived. Make it active to go on.</p>
  }
  return (
    <form className="composer" aria-label="Next message" onSubmit={send}>
      {onLatest && (
        <button type="button" className="latest" onClick={onLatest}>
          Jump to latest
        </button>
      )}
      <Attachments files={files} onChange={(left) => onFiles(() => left)} />
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        aria-label="Files"
        onChange={(event) => attach(event.target.files)}
      />
      <textarea
        ref={field}
        aria-label="Message"
        placeholder="Write a message"
        enterKeyHint="send"
        rows={2}
        value={draft}
        onChange={(event) => onDraft(event.target.value)}
        onKeyDown={actOnKey}
        onPaste={(event) => {
          if (event.clipboardData.files.length === 0) return
          event.preventDefault()
          void attach(event.clipboardData.files)
        }}
      />
      <button type="button" disabled={isAttaching} onClick={() => picker.current?.click()}>
        {isAttaching ? 'Attaching …' : 'Attach files'}
      </button>
      {isBusy ? (
        <button
          type="button"
          aria-keyshortcuts="Escape"
          onClick={stop}
          disabled={isStopping}
        >
          {isStopping ? 'Stopping …' : 'Stop'}
        </button>
      ) : (
        <button type="submit" className="main" disabled={isEmpty || isAttaching}>
          Send
        </button>
      )}
      {choice}
    </form>
  )
}
