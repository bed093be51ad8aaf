/** Accounts of Parley's own (LOCAL_ACCOUNTS=true). */

import type { Credentials, SignedIn } from './api-types'
import { request } from './api'
import { claimGuestConversations } from './conversations'
import { Problem } from './problem'
import { session } from './session'

/** Register or sign in; what was said as a guest becomes the user's. */
export async function signIn(credentials: Credentials): Promise<void> {
  try {
    const signedIn = await request<SignedIn>('/api/auth', { method: 'POST', body: credentials })
    // First, so that the page finds them when it loads as the user's.
    await claimGuestConversations(signedIn.token)
    session.set(signedIn)
  } catch (error) {
    if (error instanceof Problem && error.status === 404) {
      throw new Error('This Parley keeps no accounts of its own: LOCAL_ACCOUNTS is not set there.')
    }
    throw error
  }
}
