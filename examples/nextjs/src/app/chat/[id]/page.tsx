'use client'

import { usePathname } from 'next/navigation'

import { Conversation } from '@/components/Conversation'

/** The conversation in the address: not by `params`, which do not hear of `history.pushState`. */
export default function Page() {
  const id = decodeURIComponent(usePathname().split('/')[2] ?? '')
  return <Conversation key={id} id={id} />
}
