/** Messages in words. */

import type { Message } from './api-types'

export function textOf(message: Message): string {
  const texts = message.parts.map((part) => (part.type === 'text' ? part.text : ''))
  return texts.filter(Boolean).join('\n')
}

/** What a conversation is called until it has a title: how it begins. */
export function titleOf(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, ' ')
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line
}

const ENDINGS: Record<string, string> = {
  length: 'The answer was cut here: it reached its limit of length or time.',
  timeout: 'The answer was cut here: it took too long.',
  content_filter: 'The model withheld the rest of this answer.',
  aborted: 'You stopped the answer here.',
  error: 'Something went wrong during this answer.',
  interrupted: 'This answer was interrupted.',
}

/** Say that another model answered than the one that was asked for. */
export function standInOf(message: Message): string | undefined {
  const { model, requested_model: requested } = message.metadata ?? {}
  return requested ? `${requested} did not respond, so ${model} stood in for it.` : undefined
}

/** Say how an answer ended, where that deserves a word. */
export function endingOf(message: Message): string | undefined {
  return ENDINGS[message.metadata?.finish_reason ?? '']
}
