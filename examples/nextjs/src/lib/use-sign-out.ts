import { usePathname } from 'next/navigation'

import { newConversationPath } from './conversation-ids'
import { signOut } from './session'

/** Sign out, and leave a conversation that is the user's alone. */
export function useSignOut(): () => void {
  const isChat = usePathname().startsWith('/chat/')
  return () => {
    if (isChat) window.history.replaceState(null, '', newConversationPath())
    signOut()
  }
}
