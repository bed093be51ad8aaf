'use client'

import { usePathname, useRouter } from 'next/navigation'

import { newConversationPath } from '@/lib/conversation-ids'

export function NewChat({ onOpen }: { onOpen: () => void }) {
  const router = useRouter()
  const isChat = usePathname().startsWith('/chat/')

  function open(): void {
    onOpen()
    // Nothing of a new conversation is on the server. To ask it for the page would leave the old one
    // there for a moment, and what is typed in that moment would be lost.
    if (isChat) window.history.pushState(null, '', newConversationPath())
    else router.push(newConversationPath())
  }

  return (
    <button type="button" className="main" onClick={open}>
      New chat
    </button>
  )
}
