const TODAY: Intl.DateTimeFormatOptions = { hour: 'numeric', minute: '2-digit' }
const BEFORE: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', year: 'numeric' }

/** A moment, by the reader's own clock. */
export function Time({ at }: { at: string }) {
  const date = new Date(at)
  const isToday = date.toDateString() === new Date().toDateString()
  return (
    <time className="quiet" dateTime={at} title={date.toLocaleString()}>
      {date.toLocaleString(undefined, isToday ? TODAY : BEFORE)}
    </time>
  )
}
