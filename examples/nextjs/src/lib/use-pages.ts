import { useCallback, useEffect, useRef, useState } from 'react'

export type Page<T> = { items: T[]; next_cursor: string | null }

/**
 * A list that comes page by page.
 *
 * @param load loads the page after a cursor; another function begins the list anew, so memoize it.
 */
export function usePages<T>(load: (cursor: string | null) => Promise<Page<T>>) {
  const [page, setPage] = useState<Page<T> | null>(null)
  const [error, setError] = useState<unknown>(null)
  const latest = useRef(0)

  const loadPage = useCallback(
    async (before: Page<T> | null) => {
      // Only the newest request counts: an older one may be answered after it.
      const current = ++latest.current
      try {
        const { items, next_cursor } = await load(before?.next_cursor ?? null)
        if (current !== latest.current) return
        setPage({ items: [...(before?.items ?? []), ...items], next_cursor })
        setError(null)
      } catch (failure) {
        if (current === latest.current) setError(failure)
      }
    },
    [load],
  )
  const reload = useCallback(() => loadPage(null), [loadPage])

  useEffect(() => {
    void reload()
    return () => {
      latest.current += 1
    }
  }, [reload])

  return {
    items: page?.items ?? [],
    isLoading: page === null && error === null,
    error,
    reload,
    loadMore: page?.next_cursor ? () => loadPage(page) : null,
  }
}
