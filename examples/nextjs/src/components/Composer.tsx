'use client'

import { type FormEvent, type KeyboardEvent, type MouseEvent, useEffect, useRef } from 'react'

type Props = {
  draft: string
  onDraft: (text: string) => void
  isArchived: boolean
  isAnswering: boolean
  isStopping: boolean
  onSend: (text: string) => void
  onStop: () => void
  /** Leads to the end of the conversation; null: it is in sight. */
  onLatest: (() => void) | null
}

/** The field for the next message. It can be written while an answer comes, and is sent after it. */
export function Composer(props: Props) {
  const { draft, onDraft, isArchived, isAnswering, isStopping, onSend, onStop, onLatest } = props
  // Until a stop is answered, Parley would refuse the next message.
  const isBusy = isAnswering || isStopping
  const field = useRef<HTMLTextAreaElement>(null)

  useEffect(() => focusField(), [])

  function focusField(): void {
    // Where there is a keyboard at hand; on a phone it would cover the conversation.
    if (matchMedia('(pointer: fine)').matches) field.current?.focus()
  }

  function send(event: FormEvent | KeyboardEvent): void {
    event.preventDefault()
    if (isBusy || !draft.trim()) return
    onSend(draft.trim())
    onDraft('')
    field.current?.focus()
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
      <textarea
        ref={field}
        aria-label="Message"
        placeholder="Write a message"
        enterKeyHint="send"
        rows={2}
        value={draft}
        onChange={(event) => onDraft(event.target.value)}
        onKeyDown={actOnKey}
      />
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
        <button type="submit" className="main" disabled={!draft.trim()}>
          Send
        </button>
      )}
    </form>
  )
}
