'use client'

import { usePathname } from 'next/navigation'
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react'

import { session } from '@/lib/session'
import { Account } from './Account'
import { ConversationList } from './ConversationList'
import { NewChat } from './NewChat'
import { SessionEnded } from './SessionEnded'
import { Tabs } from './Tabs'

/** What stands around each page: conversations and account at the side. */
export function Shell({ children }: { children: ReactNode }) {
  const [isOpen, setIsOpen] = useState(false)
  const menu = useRef<HTMLButtonElement>(null)
  const current = session.use()
  const pathname = usePathname()
  useEffect(() => setIsOpen(false), [pathname])

  // On a narrow screen the side is a sheet over the page, which is out of reach for that time.
  function closeOnEscape(event: KeyboardEvent): void {
    if (event.key !== 'Escape' || !isOpen || document.querySelector('dialog[open]')) return
    setIsOpen(false)
    menu.current?.focus()
  }

  // Until the browser has told who is signed in, nothing is asked in anybody's name.
  const isKnown = current !== undefined
  // What one user has read must not stay on the page for the next.
  const caller = current?.user.id ?? 'guest'
  return (
    <div className="shell" onKeyDown={closeOnEscape}>
      <a className="skip" href="#main">
        Skip to the conversation
      </a>
      <header className="top">
        <button
          ref={menu}
          type="button"
          className="menu"
          aria-expanded={isOpen}
          aria-controls="side"
          onClick={() => setIsOpen(!isOpen)}
        >
          {isOpen ? 'Close' : 'Menu'}
        </button>
        <span className="brand">Chat</span>
        <NewChat onOpen={() => setIsOpen(false)} />
      </header>
      <aside id="side" className={isOpen ? 'side open' : 'side'} aria-label="Side bar">
        <Tabs />
        {isKnown && <ConversationList key={caller} onOpen={() => setIsOpen(false)} />}
        {isKnown && <Account />}
      </aside>
      <main id="main" tabIndex={-1}>
        {current?.has_expired && <SessionEnded />}
        {isKnown && (
          <div key={caller} className="page" inert={isOpen}>
            {children}
          </div>
        )}
      </main>
    </div>
  )
}
