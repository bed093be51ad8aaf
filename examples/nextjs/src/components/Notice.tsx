type Props = { words: string; label?: string; onAct?: () => void }

/** What went wrong, and what can be done about it. */
export function Notice({ words, label, onAct }: Props) {
  return (
    <div className="notice" role="alert">
      <p>{words}</p>
      {label && (
        <button type="button" onClick={onAct}>
          {label}
        </button>
      )}
    </div>
  )
}
