'use client'

import { type DynamicToolUIPart, getToolName, type ToolUIPart } from 'ai'

const STATES: Record<string, string> = {
  'input-streaming': 'being written …',
  'input-available': 'running …',
  'output-available': 'done',
  'output-error': 'failed',
}

/** A tool that the assistant has used: what for, and what came of it. */
export function ToolCall({ part }: { part: ToolUIPart | DynamicToolUIPart }) {
  const name = getToolName(part).replaceAll('_', ' ')
  return (
    <details className="tool" data-state={part.state}>
      <summary>
        <b>{name}</b> {titleIn(part.input)} <span className="quiet">{STATES[part.state]}</span>
      </summary>
      {part.input !== undefined && <Value name="Called with" value={part.input} />}
      {part.state === 'output-available' && <Value name="Result" value={part.output} />}
      {part.state === 'output-error' && <p className="problem">{part.errorText}</p>}
    </details>
  )
}

/** Which task it is about, where it says so. */
function titleIn(input: unknown): string {
  const isNamed = typeof input === 'object' && input !== null && 'title' in input
  return isNamed && typeof input.title === 'string' ? `“${input.title}”` : ''
}

function Value({ name, value }: { name: string; value: unknown }) {
  return (
    <>
      <p className="quiet">{name}</p>
      <pre>{JSON.stringify(value, null, 2)}</pre>
    </>
  )
}
