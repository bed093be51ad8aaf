/** The excerpts of a search, without trusting anybody's HTML. */

const ENTITIES: Record<string, string> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#x27;': "'",
}

/** Split an excerpt into texts; each second one is what was searched for. */
export function splitExcerpt(excerpt: string): string[] {
  return excerpt
    .split(/<\/?mark>/)
    .map((text) => text.replace(/&(amp|lt|gt|quot|#x27);/g, (entity) => ENTITIES[entity] ?? entity))
}
