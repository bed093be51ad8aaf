'use client'

import { useState } from 'react'

import { useSignOut } from '@/lib/use-sign-out'
import { SignInDialog } from './SignInDialog'

/** Said over each page when Parley does not take the token any more. */
export function SessionEnded() {
  const [isSigningIn, setIsSigningIn] = useState(false)
  const signOut = useSignOut()
  return (
    <div className="notice banner" role="alert">
      <p>Your session has ended.</p>
      <button type="button" onClick={() => setIsSigningIn(true)}>
        Sign in again
      </button>
      <button type="button" onClick={signOut}>
        Go on as a guest
      </button>
      {isSigningIn && <SignInDialog onClose={() => setIsSigningIn(false)} />}
    </div>
  )
}
