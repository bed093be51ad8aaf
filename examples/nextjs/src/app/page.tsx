'use client'

import { useRouter } from 'next/navigation'
import { useCallback, useEffect, useState } from 'react'

import { Notice } from '@/components/Notice'
import { newConversationPath } from '@/lib/conversation-ids'
import { wordsFor } from '@/lib/problem'

/** The start: a new conversation, under an address of its own. */
export default function Home() {
  const router = useRouter()
  const [problem, setProblem] = useState('')
  const begin = useCallback(async () => {
    setProblem('')
    try {
      router.replace(await newConversationPath())
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }, [router])
  useEffect(() => void begin(), [begin])
  return problem && <Notice words={problem} label="Try again" onAct={begin} />
}
