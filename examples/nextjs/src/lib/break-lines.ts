/** A part of Markdown as remark has parsed it. */
type Part = { type: string; value?: string; children?: Part[] }

/**
 * A remark plugin: a line break in a paragraph stays one, as models mean it, and so does `<br>`,
 * which they need in tables.
 */
export function breakLines() {
  return visit
}

function visit(part: Part): void {
  part.children = part.children?.flatMap(breakPart)
}

function breakPart(part: Part): Part[] {
  const { type, value = '' } = part
  if (type === 'html' && /^<br\s*\/?>$/i.test(value)) return [{ type: 'break' }]
  if (type === 'text' && value.includes('\n')) {
    const lines = value.split('\n').map((line) => ({ type, value: line }))
    return lines.flatMap((line, index) => (index ? [{ type: 'break' }, line] : [line]))
  }
  visit(part)
  return [part]
}
