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
  // A preliminary result is how far the call has come: it still runs.
  const isRunning = part.state === 'output-available' && part.preliminary
  const state = isRunning ? 'input-available' : part.state
  return (
    <details className="tool" data-state={state}>
      <summary>
        <b>{name}</b> {titleIn(part.input)} <span className="quiet">{STATES[state]}</span>
      </summary>
      {part.input !== undefined && <Value name="Called with" value={part.input} />}
      {part.state === 'output-available' && (
        <Value name={isRunning ? 'So far' : 'Result'} value={part.output} />
      )}
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
