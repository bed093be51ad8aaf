'use client'

import Link from 'next/link'
import { usePathname } from 'next/navigation'

export function Tabs() {
  const isTasks = usePathname() === '/tasks'
  return (
    <nav className="tabs" aria-label="Pages">
      <Link href="/" prefetch={false} aria-current={isTasks ? undefined : 'page'}>
        Chat
      </Link>
      <Link href="/tasks" aria-current={isTasks ? 'page' : undefined}>
        Tasks
      </Link>
    </nav>
  )
}
