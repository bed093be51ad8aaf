/** What went wrong, and how to say it. */

import type { ProblemDetails } from './api-types'

/** A request that Parley has refused, or that failed on its side. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly details: Partial<ProblemDetails>,
    readonly retryAfterSeconds: number,
  ) {
    super(details.detail ?? `The server answered ${status}.`)
    this.name = 'Problem'
  }

  /** Read a response that is not ok. A gateway may have answered with a page of its own. */
  static async from(response: Response): Promise<Problem> {
    const details = await response.json().catch(() => ({}))
    return new Problem(response.status, details, Number(response.headers.get('retry-after')) || 0)
  }

  get code(): string {
    return this.details.code ?? ''
  }

  /** Whether the same request may succeed later. All else of 4xx needs another one. */
  get isPassing(): boolean {
    return this.status >= 500 || this.code === 'turn_in_progress'
  }
}

const WORDS: Record<string, string> = {
  unauthenticated: 'Sign in to go on.',
  wrong_credentials: 'No account has this address and password.',
  conversation_moved_on: 'This conversation has gone on elsewhere, for instance in another tab.',
  turn_in_progress: 'Another message of this conversation is being answered. Try again after it.',
  model_not_configured: 'Parley has no model to ask yet: OPENAI_API_KEY is not set.',
}

/** Say in words for the reader what went wrong. */
export function wordsFor(error: unknown): string {
  if (!(error instanceof Error)) return 'Something went wrong.'
  // What `fetch` throws has another text in each browser.
  if (error.name === 'TypeError') {
    return navigator.onLine ? 'The server cannot be reached.' : 'You are offline.'
  }
  if (!(error instanceof Problem)) return error.message
  const fields = error.details.errors?.map(({ field, detail }) => `${nameOf(field)} ${detail}.`)
  const words = fields?.join(' ') || WORDS[error.code] || error.message
  return error.retryAfterSeconds > 1 ? `${words} (In ${waitOf(error.retryAfterSeconds)}.)` : words
}

/** `message` and `messages.0.parts` are the same thing to a reader. */
function nameOf(field: string): string {
  const first = field.split('.')[0] || 'This'
  const name = first.startsWith('message') ? 'your message' : first === 'q' ? 'the search' : first
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ')
}

function waitOf(seconds: number): string {
  if (seconds < 90) return `${seconds} seconds`
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} minutes`
  return `${Math.ceil(seconds / 3600)} hours`
}
