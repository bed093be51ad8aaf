'use client'

import { Component, createContext, isValidElement, type ReactNode, useContext } from 'react'
import {
  type Components,
  defaultRehypePlugins,
  defaultRemarkPlugins,
  Streamdown,
  type StreamdownProps,
} from 'streamdown'

import { breakLines } from '@/lib/break-lines'
import { CopyButton } from './CopyButton'

const LINKED = ['http:', 'https:', 'mailto:']

/** Plain elements, for plain CSS: Streamdown's own carry Tailwind's classes. */
const COMPONENTS: Components = {
  // Below the page's own h1.
  ...{ h1: 'h2', h2: 'h3', h3: 'h4', h4: 'h5', h5: 'h6', h6: 'h6' },
  ...{ blockquote: 'blockquote', hr: 'hr', li: 'li', ol: 'ol', p: 'p', ul: 'ul' },
  ...{ code: 'code', section: 'section', strong: 'strong', sub: 'sub', sup: 'sup' },
  ...{ tbody: 'tbody', td: 'td', th: 'th', thead: 'thead', tr: 'tr' },
  a: ({ href, children }) => <Link address={href}>{children}</Link>,
  // Loading it would send its address, with any secret that the model put into it, to another host.
  img: ({ src, alt }) => <Link address={src}>{`Image: ${alt || src}`}</Link>,
  input: ({ checked }) => (checked ? '☑' : '☐'),
  pre: ({ children }) => <CodeBlock>{children}</CodeBlock>,
  // A keyboard scrolls what has its focus.
  table: ({ children }) => (
    <div className="table" tabIndex={0}>
      <table>{children}</table>
    </div>
  ),
}

const OPTIONS: StreamdownProps = {
  className: 'text markdown',
  components: COMPONENTS,
  remarkPlugins: [...Object.values(defaultRemarkPlugins), breakLines],
  // Without `raw`, HTML shows as text. `harden` has nothing left to do: see `a` and `img`.
  rehypePlugins: [defaultRehypePlugins.sanitize!],
  // Marks that a streaming text leaves open are closed. HTML and formulas mean nothing here.
  remend: { htmlTags: false, katex: false, linkMode: 'text-only' },
}

type Props = { text: string; isStreaming: boolean }

/** The Markdown of an answer, also while it is being written. */
export function Markdown({ text, isStreaming }: Props) {
  return (
    <TextOnError text={text}>
      <Streamdown {...OPTIONS} isAnimating={isStreaming} parseIncompleteMarkdown={isStreaming}>
        {text}
      </Streamdown>
    </TextOnError>
  )
}

/** A link to another site; only its text where the address is a script, or a place in this page. */
function Link({ address, children }: { address: unknown; children: ReactNode }) {
  const isInLink = useContext(InLink)
  const url = typeof address === 'string' && URL.canParse(address) ? new URL(address) : null
  if (isInLink || !url || !LINKED.includes(url.protocol)) return children
  return (
    <InLink value={true}>
      <a href={url.href} target="_blank" rel="noopener noreferrer">
        {children ?? url.href}
      </a>
    </InLink>
  )
}

/** An image in a link is a link in a link, which HTML does not have. */
const InLink = createContext(false)

function CodeBlock({ children }: { children: ReactNode }) {
  const isCode = isValidElement<{ className?: string; children?: string }>(children)
  const { className, children: text } = isCode ? children.props : {}
  const code = text?.replace(/\n$/, '') ?? ''
  return (
    <div className="code" dir="ltr">
      <div>
        <span>{className?.replace('language-', '')}</span>
        <CopyButton text={code} />
      </div>
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </div>
  )
}

/** The text as it is, when it cannot be parsed: some 1,000 nested quotes exceed the stack. */
class TextOnError extends Component<{ text: string; children: ReactNode }> {
  override state = { hasFailed: false }

  static getDerivedStateFromError() {
    return { hasFailed: true }
  }

  override render() {
    return this.state.hasFailed ? <div className="text">{this.props.text}</div> : this.props.children
  }
}
