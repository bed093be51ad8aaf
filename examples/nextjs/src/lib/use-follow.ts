import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react'

const NEAR_PIXELS = 48

/** Keep a box scrolled to its end while it grows, unless the reader has scrolled away from there. */
export function useFollow(content: unknown) {
  const box = useRef<HTMLDivElement>(null)
  const [isAtEnd, setIsAtEnd] = useState(true)

  const toEnd = useCallback(() => {
    box.current?.scrollTo({ top: box.current.scrollHeight })
    setIsAtEnd(true)
  }, [])

  useLayoutEffect(() => {
    if (isAtEnd) box.current?.scrollTo({ top: box.current.scrollHeight })
  }, [content, isAtEnd])

  useEffect(() => {
    const element = box.current
    if (!element) return
    const look = () => {
      const left = element.scrollHeight - element.scrollTop - element.clientHeight
      setIsAtEnd(left < NEAR_PIXELS)
    }
    element.addEventListener('scroll', look, { passive: true })
    return () => element.removeEventListener('scroll', look)
  }, [])

  return { box, isAtEnd, toEnd }
}
