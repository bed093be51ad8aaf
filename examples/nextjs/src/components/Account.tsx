'use client'

import { useState } from 'react'

import { session } from '@/lib/session'
import { useSignOut } from '@/lib/use-sign-out'
import { SignInDialog } from './SignInDialog'

/** Who is signed in, and the way in and out. */
export function Account() {
  const [isSigningIn, setIsSigningIn] = useState(false)
  const user = session.use()?.user
  const signOut = useSignOut()
  return (
    <section className="account" aria-label="Account">
      <p title={user?.email ?? undefined}>
        {user ? (user.name ?? user.email ?? user.id) : 'You are a guest.'}
      </p>
      {user ? (
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      ) : (
        <button type="button" onClick={() => setIsSigningIn(true)}>
          Sign in
        </button>
      )}
      {isSigningIn && <SignInDialog onClose={() => setIsSigningIn(false)} />}
    </section>
  )
}
