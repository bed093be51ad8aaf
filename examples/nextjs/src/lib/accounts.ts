/** Accounts of Parley's own (LOCAL_ACCOUNTS=true). */

import type { Credentials, Registered, SignedIn } from './api-types'
import { request } from './api'
import { claimGuestConversations } from './conversations'
import { Problem } from './problem'
import { session } from './session'

/** Register if asked, then sign in; what was said as a guest becomes the user's. */
export async function signIn(credentials: Credentials): Promise<void> {
  const isNew = credentials.action === 'register'
  try {
    if (isNew) await request<Registered>('/api/auth', { method: 'POST', body: credentials })
    const signedIn = await request<SignedIn>('/api/auth', {
      method: 'POST',
      body: { ...credentials, action: 'login' },
    })
    // First, so that the page finds them when it loads as the user's.
    await claimGuestConversations(signedIn.token)
    session.set(signedIn)
  } catch (error) {
    if (error instanceof Problem && error.status === 404) {
      throw new Error('This Parley keeps no accounts of its own: LOCAL_ACCOUNTS is not set there.')
    }
    // A registration does not tell whether the address was taken; the sign-in after it does, to its owner.
    if (isNew && error instanceof Problem && error.code === 'wrong_credentials') {
      throw new Error('If you have an account already, use its password.')
    }
    throw error
  }
}
