/** A guest's conversations: Parley lists none without a user, so this browser remembers them. */

import type { Conversation } from './api-types'
import { forgetKey } from './guest-keys'
import { createStored } from './stored'

export const guestList = createStored<Conversation[]>('parley.guest-conversations', [])

/** Remember a conversation, or what is new of it, as the one used last. */
export function rememberGuest(id: string, news: Partial<Conversation>): void {
  const others = guestList.get().filter((each) => each.id !== id)
  const known = guestList.get().find((each) => each.id === id)
  const now = new Date().toISOString()
  const fresh = { id, title: null, status: 'active' as const, created_at: now, model: null }
  guestList.set([{ ...fresh, ...known, updated_at: now, ...news }, ...others])
}

export function forgetGuest(id: string): void {
  guestList.set(guestList.get().filter((each) => each.id !== id))
  forgetKey(id)
}
