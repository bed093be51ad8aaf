/** The keys of a guest's conversations: Parley tells each once, and only this browser keeps it. */

import { session } from './session'
import { createStored } from './stored'

// More would be of conversations that were begun long ago, or never.
const KEYS_KEPT = 200

const keys = createStored<Record<string, string>>('parley.guest-keys', {})

export function keepKey(id: string, key: string): void {
  const entries = Object.entries(keys.get()).filter(([each]) => each !== id)
  keys.set(Object.fromEntries([...entries, [id, key] as const].slice(-KEYS_KEPT)))
}

export function keyOf(id: string): string | undefined {
  const all = keys.get()
  return Object.hasOwn(all, id) ? all[id] : undefined
}

export function forgetKey(id: string): void {
  keys.set(Object.fromEntries(Object.entries(keys.get()).filter(([each]) => each !== id)))
}

/** The header that opens a guest's conversation; none for a user. */
export function keyHeader(id: string | undefined): Record<string, string> {
  const key = id && !session.get() ? keyOf(id) : undefined
  return key ? { 'x-conversation-key': key } : {}
}
