import type { FileUIPart } from 'ai'

/** A file that the model or a tool has made: an image, or a link. */
export function FileOut({ part }: { part: FileUIPart }) {
  if (part.mediaType.startsWith('image/')) {
    return <img className="made" src={part.url} alt="Made by the assistant" />
  }
  return (
    <a href={part.url} target="_blank" rel="noreferrer" download>
      {part.filename ?? part.mediaType}
    </a>
  )
}
