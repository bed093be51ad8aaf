'use client'

import { useRouter } from 'next/navigation'
import { useEffect } from 'react'

import { newConversationPath } from '@/lib/conversation-ids'

/** The start: a new conversation, under an address of its own. */
export default function Home() {
  const router = useRouter()
  useEffect(() => router.replace(newConversationPath()), [router])
  return null
}
