/** Tells one part of the page that something has changed which another part shows. */

export type Signal = { emit: () => void; subscribe: (listener: () => void) => () => void }

export function createSignal(): Signal {
  const listeners = new Set<() => void>()
  return {
    emit: () => listeners.forEach((listener) => listener()),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
