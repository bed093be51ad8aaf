/** Requests to Parley. */

import { keyHeader } from './guest-keys'
import { Problem } from './problem'
import { authorization, expireSession } from './session'

/** Where Parley is; empty: on this origin. */
export const API_URL = (process.env.NEXT_PUBLIC_API_URL ?? '').replace(/\/$/, '')

type Options = {
  method?: string
  /** JSON, or bytes as they are. */
  body?: unknown
  token?: string
  /** The conversation that it is about, whose key a guest sends. */
  conversation?: string
  /** The key of a guest's conversation, for a user who claims it. */
  key?: string
}

/** Ask Parley for JSON, as the caller; null where it answers without content. */
export async function request<T = null>(path: string, options: Options = {}): Promise<T> {
  const { method, body, token, conversation, key } = options
  const isBytes = body instanceof Blob
  const response = await checkedFetch(`${API_URL}${path}`, {
    method,
    headers: {
      ...authorization(token),
      ...(key ? { 'x-conversation-key': key } : keyHeader(conversation)),
      ...(body ? { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' } : {}),
    },
    body: isBytes ? body : body ? JSON.stringify(body) : undefined,
  })
  return response.status === 204 ? (null as T) : response.json()
}

/** `fetch` that throws a `Problem` for a response that is not ok. */
export async function checkedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, { ...init, cache: 'no-store' })
  if (response.ok) return response
  const problem = await Problem.from(response)
  if (problem.code === 'unauthenticated') expireSession()
  throw problem
}

/** A query string of what is given. */
export function query(values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value != null && value !== '')
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`
}
