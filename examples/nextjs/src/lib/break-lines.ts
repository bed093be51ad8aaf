/** A part of Markdown as remark has parsed it. */
type Part = { type: string; value?: string; children?: Part[] }

/** A remark plugin: `<br>` is the one HTML tag that breaks a line, as models write it in tables. */
export function breakLines() {
  return visit
}

function visit(part: Part): void {
  if (part.type === 'html' && /^<br\s*\/?>$/i.test(part.value ?? '')) part.type = 'break'
  part.children?.forEach(visit)
}
