import type { SourceDocumentUIPart, SourceUrlUIPart } from 'ai'

import type { Message } from '@/lib/api-types'

/** The sources of an answer, as a list of links under it. */
export function Sources({ parts }: { parts: Message['parts'] }) {
  const sources = parts.filter(
    (part): part is SourceUrlUIPart | SourceDocumentUIPart =>
      part.type === 'source-url' || part.type === 'source-document',
  )
  if (sources.length === 0) return null
  return (
    <details className="sources">
      <summary>
        Used {sources.length} {sources.length === 1 ? 'source' : 'sources'}
      </summary>
      <ol>
        {sources.map((source) => (
          <li key={source.sourceId}>
            {source.type === 'source-url' ? (
              <a href={source.url} target="_blank" rel="noreferrer">
                {source.title ?? source.url}
              </a>
            ) : (
              source.title
            )}
          </li>
        ))}
      </ol>
    </details>
  )
}
