'use client'

import { usePathname, useRouter } from 'next/navigation'
import { useEffect, useState } from 'react'

import { newConversationPath, prepareConversation } from '@/lib/conversation-ids'
import { wordsFor } from '@/lib/problem'

export function NewChat({ onOpen }: { onOpen?: () => void }) {
  const router = useRouter()
  const pathname = usePathname()
  const [problem, setProblem] = useState('')
  const isChat = pathname.startsWith('/chat/')
  useEffect(prepareConversation, [pathname])

  async function open(): Promise<void> {
    onOpen?.()
    setProblem('')
    try {
      const path = await newConversationPath()
      // Nothing of a new conversation is on the server. To ask it for the page would leave the old one
      // there for a moment, and what is typed in that moment would be lost.
      if (isChat) window.history.pushState(null, '', path)
      else router.push(path)
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  return (
    <>
      <button type="button" className="main" onClick={open}>
        New chat
      </button>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  )
}
