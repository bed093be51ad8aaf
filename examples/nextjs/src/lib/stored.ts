/** A value kept in the browser, the same in all its tabs. */

import { useSyncExternalStore } from 'react'

export type Stored<T> = {
  get: () => T
  set: (value: T) => void
  /** The value; undefined on the server and until the page is alive, when nobody knows it. */
  use: () => T | undefined
}

/** Keep a value as JSON in localStorage; where the browser blocks that, until the page is left. */
export function createStored<T>(key: string, initial: T): Stored<T> {
  const listeners = new Set<() => void>()
  let text: string | null = null
  let value = initial

  function get(): T {
    const found = read(key)
    // Parsed once for each text: React asks often, and compares by identity.
    if (found !== undefined && found !== text) {
      text = found
      value = parse(found) ?? initial
    }
    return value
  }

  function set(next: T): void {
    value = next
    text = JSON.stringify(next)
    write(key, text)
    listeners.forEach((listener) => listener())
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener)
    window.addEventListener('storage', listener)
    return () => {
      listeners.delete(listener)
      window.removeEventListener('storage', listener)
    }
  }

  return { get, set, use: () => useSyncExternalStore(subscribe, get, () => undefined) }
}

function read(key: string): string | null | undefined {
  try {
    return window.localStorage.getItem(key)
  } catch {
    return undefined
  }
}

function write(key: string, text: string): void {
  try {
    window.localStorage.setItem(key, text)
  } catch {
    // It lasts as long as the page, then.
  }
}

function parse(text: string | null) {
  try {
    return text && JSON.parse(text)
  } catch {
    return null
  }
}
