/** Ids of new conversations: a user's are made here, a guest's by Parley, together with a key. */

import { request } from './api'
import type { NewConversation } from './api-types'
import { keepKey } from './guest-keys'
import { session } from './session'

const ATTEMPTS = 3
const PAUSE_MS = 300

// Of these it is known that there is nothing to load.
const unused = new Set<string>()
// A guest's next id, asked for ahead: what is typed while the page waits for it would be lost.
let next: Promise<string> | null = null

/** The path of a conversation that does not exist yet. */
export async function newConversationPath(): Promise<string> {
  const id = session.get() ? randomUUID() : await takeGuestId()
  unused.add(id)
  return `/chat/${id}`
}

/** Ask ahead for the next id of a guest. */
export function prepareConversation(): void {
  if (session.get() || next) return
  next = beginConversation()
  // Asked for again when it is needed.
  next.catch(() => (next = null))
}

export function isUnused(id: string): boolean {
  return unused.has(id)
}

/** Note that something was said there. */
export function noteUse(id: string): void {
  unused.delete(id)
}

async function takeGuestId(): Promise<string> {
  const taken = next ?? beginConversation()
  next = null
  return taken
}

/** Nothing is stored yet, so a lost answer loses nothing, and the page asks again. */
async function beginConversation(attempts = ATTEMPTS): Promise<string> {
  try {
    const { id, key } = await request<NewConversation>('/api/conversations', { method: 'POST' })
    if (key) keepKey(id, key)
    return id
  } catch (error) {
    // The line was cut: a browser repeats no POST by itself.
    if (!(error instanceof TypeError) || attempts === 1) throw error
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    return beginConversation(attempts - 1)
  }
}

function randomUUID(): string {
  // Missing where the page came over http from another machine, such as a phone's in development.
  if ('randomUUID' in crypto) return crypto.randomUUID()
  const bytes = (crypto as Crypto).getRandomValues(new Uint8Array(16))
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5')
}
