import type { Metadata, Viewport } from 'next'
import type { ReactNode } from 'react'

import { Shell } from '@/components/Shell'
import '@/styles/base.css'
import '@/styles/controls.css'
import '@/styles/shell.css'
import '@/styles/chat.css'
import '@/styles/markdown.css'
import '@/styles/tasks.css'

export const metadata: Metadata = {
  title: { default: 'Chat', template: '%s · Chat' },
  description: 'A chat that keeps its conversations in Parley.',
}

export const viewport: Viewport = {
  colorScheme: 'light dark',
  // The message field stays above a phone's keyboard.
  interactiveWidget: 'resizes-content',
}

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <Shell>{children}</Shell>
      </body>
    </html>
  )
}
