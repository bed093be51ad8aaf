/** Who is signed in, in this browser. */

import type { SignedIn } from './api-types'
import { createStored } from './stored'

export type Session = SignedIn & { has_expired?: boolean }

/** null: a guest. An application with an identity provider asks that for its token instead. */
export const session = createStored<Session | null>('parley.session', null)

/** The header that tells Parley who is calling; none for a guest. */
export function authorization(token = session.get()?.token): Record<string, string> {
  return token ? { authorization: `Bearer ${token}` } : {}
}

/** Note that Parley did not take our token: the user stays known, and is asked to sign in again. */
export function expireSession(): void {
  const current = session.get()
  if (current) session.set({ ...current, has_expired: true })
}

export function signOut(): void {
  session.set(null)
}

