import { usePathname, useRouter } from 'next/navigation'

import { signOut } from './session'

/** Sign out, and leave a conversation that is the user's alone. */
export function useSignOut(): () => void {
  const router = useRouter()
  const isChat = usePathname().startsWith('/chat/')
  return () => {
    signOut()
    // The start begins a conversation of the guest's.
    if (isChat) router.replace('/')
  }
}
