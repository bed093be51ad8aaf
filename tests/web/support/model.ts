import { randomUUID } from 'node:crypto'

import { environment } from './environment.ts'

/** A question that is asked nowhere else; its words say how the model answers (`model.py`). */
export function question(words: string): string {
  return `${words} ${randomUUID().slice(0, 8)}`
}

/** Let the model go on with its answer to a question. */
export async function release(asked: string): Promise<void> {
  const response = await fetch(`${environment('MODEL_URL')}/release`, { method: 'POST', body: asked })
  if (!response.ok) throw new Error(`The model answered ${response.status}.`)
}
