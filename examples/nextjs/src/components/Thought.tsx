'use client'

import type { ReasoningUIPart } from 'ai'
import { useEffect, useState } from 'react'

/** What the model thought: open while it thinks, closed after that. */
export function Thought({ part }: { part: ReasoningUIPart }) {
  const isThinking = part.state === 'streaming'
  const [isOpen, setIsOpen] = useState(isThinking)
  const [seconds, setSeconds] = useState<number>()

  useEffect(() => {
    if (!isThinking) return
    const begunAt = Date.now()
    setIsOpen(true)
    return () => {
      setSeconds(Math.max(1, Math.round((Date.now() - begunAt) / 1000)))
      setIsOpen(false)
    }
  }, [isThinking])

  const title = seconds === undefined ? 'Thought' : `Thought for ${seconds} s`
  return (
    <details
      className="thought"
      open={isOpen}
      onToggle={(event) => setIsOpen(event.currentTarget.open)}
    >
      <summary>{isThinking ? 'Thinking …' : title}</summary>
      <p>{part.text}</p>
    </details>
  )
}
