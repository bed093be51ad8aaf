'use client'

import { useState } from 'react'

export function CopyButton({ text }: { text: string }) {
  const [outcome, setOutcome] = useState('Copy')

  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text)
      setOutcome('Copied')
    } catch {
      setOutcome('Cannot copy here')
    }
    setTimeout(() => setOutcome('Copy'), 2000)
  }

  return (
    <button type="button" className="link" onClick={copy}>
      {/* Not role="status", which would leave the button without a name. */}
      <span aria-live="polite">{outcome}</span>
    </button>
  )
}
