/** Ids of conversations are made here: Parley takes any UUID. */

// Of these it is known that there is nothing to load.
const unused = new Set<string>()

/** The path of a conversation that does not exist yet. */
export function newConversationPath(): string {
  const id = randomUUID()
  unused.add(id)
  return `/chat/${id}`
}

export function isUnused(id: string): boolean {
  return unused.has(id)
}

/** Note that something was said there. */
export function noteUse(id: string): void {
  unused.delete(id)
}

/** A guest's conversation is reached by knowing its id, so it must be hard to guess. */
function randomUUID(): string {
  // Missing where the page came over http from another machine, such as a phone's in development.
  if ('randomUUID' in crypto) return crypto.randomUUID()
  const bytes = (crypto as Crypto).getRandomValues(new Uint8Array(16))
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5')
}
