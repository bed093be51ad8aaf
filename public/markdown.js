// The Markdown of an answer as elements of the page, also while the answer is being written.
//
// marked reads the text into tokens, and each token becomes an element here. No HTML is parsed anywhere, so an answer
// cannot make any element but the ones below: HTML shows as text, links lead to http, https or mailto, and an image
// becomes a link, because loading it would send its address, with any secret that the model put into it, to another host.

import { lexer } from 'marked';
import remend from 'remend';

// While text streams, remend closes the marks that are open at its end: `**bo` is bold, `[text](htt` is the text alone.
// HTML and formulas mean nothing here.
const UNFINISHED = { linkMode: 'text-only', htmlTags: false, katex: false };
// A next line can change the last two blocks, as in `1. a`, an empty line, and `2` that becomes `2. b` of the same list.
const LIVE_BLOCKS = 2;
const REST = 4; // times as long as parsing took
const LINKED = ['http:', 'https:', 'mailto:'];
// Models write few of HTML's 2,125 names; any other stays as it is written. The browser's own decoder needs HTML parsing.
const ENTITIES = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', trade: '™', deg: '°', sect: '§', para: '¶',
  middot: '·', bull: '•', hellip: '…', ndash: '–', mdash: '—', lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', laquo: '«', raquo: '»',
  times: '×', divide: '÷', plusmn: '±', le: '≤', ge: '≥', ne: '≠', asymp: '≈', infin: '∞', larr: '←', uarr: '↑', rarr: '→', darr: '↓',
  harr: '↔', rArr: '⇒', euro: '€', pound: '£', yen: '¥', cent: '¢', check: '✓',
};

export function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

// One text that grows. A frame parses it at most once, however many tokens came, and only its last blocks. A single block
// of 30 KB takes longer than a frame: parsing rests after each time, so that the page stays quick.
export class MarkdownView {
  #source = '';
  #settledLength = 0; // characters of the source whose blocks no longer change, and the count of their nodes
  #settledNodes = 0;
  #frame = 0;
  #restsUntil = 0; // milliseconds, as of performance.now()
  #onChange;

  constructor(onChange = () => {}) {
    this.#onChange = onChange;
    this.element = element('div', { className: 'markdown' });
    this.element.addEventListener('click', copyCode);
  }

  append(text) {
    this.#source += text;
    this.#frame ||= requestAnimationFrame(() => this.#showFrame());
  }

  // Shows the text as it will be shown from now on: parsed as a whole, with nothing closed that the model left open.
  end() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    patch(this.element, parse(this.#source).flatMap(({ nodes }) => nodes));
  }

  #showFrame() {
    const begin = performance.now();
    this.#frame = begin < this.#restsUntil ? requestAnimationFrame(() => this.#showFrame()) : 0;
    if (this.#frame) return;
    this.#showUnfinished();
    const end = performance.now();
    this.#restsUntil = end + (end - begin) * REST;
    this.#onChange();
  }

  #showUnfinished() {
    const tail = this.#source.slice(this.#settledLength);
    const blocks = parse(remend(tail, UNFINISHED));
    patch(this.element, blocks.flatMap(({ nodes }) => nodes), this.#settledNodes);
    this.#settle(tail, blocks);
  }

  #settle(tail, blocks) {
    const live = blocks.filter(({ nodes }) => nodes.length > 0).at(-LIVE_BLOCKS);
    const settled = blocks.slice(0, Math.max(blocks.indexOf(live), 0));
    const raw = settled.map((block) => block.raw).join('');
    if (!tail.startsWith(raw)) return; // marked normalizes \r\n: such a text stays live
    this.#settledLength += raw.length;
    this.#settledNodes += settled.reduce((count, { nodes }) => count + nodes.length, 0);
  }
}

export function markdownElement(text) {
  const view = new MarkdownView();
  view.append(text);
  view.end();
  return view.element;
}

// Returns the blocks of a text, each with its source and its elements (none for an empty line).
function parse(text) {
  try {
    return lexer(text).map((token) => ({ raw: token.raw, nodes: blockNodes([token]) }));
  } catch { // a model that repeats itself nests quotes: some 1,000 of them exceed the stack
    return [{ raw: text, nodes: [element('p', {}, text)] }];
  }
}

// Makes the children of an element, from an index on, equal to the nodes. Equal children stay, and with them the reader's
// selection and the place to which code is scrolled.
function patch(parent, nodes, from = 0) {
  nodes.forEach((node, index) => {
    const old = parent.childNodes[from + index];
    if (!old) parent.append(node);
    else if (old.isEqualNode(node)) return;
    else if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) patchText(old, node.data);
    else if (old.cloneNode().isEqualNode(node.cloneNode())) patch(old, Array.from(node.childNodes));
    else old.replaceWith(node);
  });
  while (parent.childNodes.length > from + nodes.length) parent.lastChild.remove();
}

function patchText(node, text) {
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

// --- Blocks --------------------------------------------------------------------------------------------------------

const BLOCKS = {
  // Below the page's own headings: the title, the list, and the author of each message.
  heading: ({ depth, tokens }) => element(`h${Math.min(depth + 3, 6)}`, {}, ...inlineNodes(tokens)),
  paragraph: ({ tokens }) => element('p', {}, ...inlineNodes(tokens)),
  blockquote: ({ tokens }) => element('blockquote', {}, ...blockNodes(tokens)),
  hr: () => element('hr'),
  html: ({ raw }) => element('p', {}, raw.trim()),
  code: codeElement,
  list: listElement,
  table: tableElement,
};

function blockNodes(tokens) {
  return tokens.flatMap((token) => BLOCKS[token.type]?.(token) ?? inlineNodes([token]));
}

// A keyboard scrolls what has its focus, so code and tables can take it.
function codeElement({ text, lang }) {
  const copy = element('button', { type: 'button' }, element('span', { ariaLive: 'polite' }, 'Copy'));
  const head = element('div', {}, element('span', {}, lang?.split(/\s/)[0] ?? ''), copy);
  const code = element('pre', { tabIndex: 0 }, element('code', {}, text));
  return element('div', { className: 'code', dir: 'ltr' }, head, code);
}

async function copyCode({ target }) {
  const label = target.closest('.code button')?.firstChild;
  if (!label) return;
  try {
    await navigator.clipboard.writeText(target.closest('.code').querySelector('pre').textContent);
    label.textContent = 'Copied';
  } catch { // no clipboard on a non-secure origin, or not allowed
    label.textContent = 'Cannot copy here';
  }
  setTimeout(() => { label.textContent = 'Copy'; }, 2000);
}

function listElement({ ordered, start, items }) {
  const list = element(ordered ? 'ol' : 'ul');
  if (ordered && start !== 1) list.start = start;
  list.append(...items.map(({ task, tokens }) => element('li', task ? { className: 'task' } : {}, ...blockNodes(tokens))));
  return list;
}

function tableElement({ header, rows }) {
  const row = (tag, cells) => element('tr', {}, ...cells.map((cell) => cellElement(tag, cell)));
  const head = element('thead', {}, row('th', header));
  const body = element('tbody', {}, ...rows.map((cells) => row('td', cells)));
  return element('div', { className: 'table', tabIndex: 0 }, element('table', {}, head, body));
}

function cellElement(tag, { align, tokens }) {
  const cell = element(tag, {}, ...inlineNodes(tokens));
  if (align) cell.style.textAlign = align;
  return cell;
}

// --- Inside a block ------------------------------------------------------------------------------------------------

const INLINES = {
  strong: ({ tokens }) => element('strong', {}, ...inlineNodes(tokens)),
  em: ({ tokens }) => element('em', {}, ...inlineNodes(tokens)),
  del: ({ tokens }) => element('del', {}, ...inlineNodes(tokens)),
  codespan: ({ text }) => element('code', {}, text),
  br: () => element('br'),
  checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  // The one tag that models cannot do without, in tables.
  html: ({ raw }) => (/^<br\s*\/?>$/i.test(raw) ? element('br') : raw),
  escape: ({ text }) => text,
  link: ({ href, tokens }) => link(href, inlineNodes(tokens)),
  image: ({ href, text }) => link(href, [`Image: ${decode(text) || href}`]),
  space: () => [],
  def: () => [],
};

// Of a kind that is not listed, such as plain text, the text.
function inlineNodes(tokens) {
  return tokens.flatMap((token) => {
    if (INLINES[token.type]) return INLINES[token.type](token);
    return token.tokens ? inlineNodes(token.tokens) : decode(token.text ?? token.raw);
  }).map((node) => (typeof node === 'string' ? document.createTextNode(node) : node));
}

// A link to another site; only its label where the address is a script, or a place in this page.
function link(address, label) {
  const url = URL.canParse(decode(address)) ? new URL(decode(address)) : null;
  if (!LINKED.includes(url?.protocol)) return label;
  const anchor = element('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer' }, ...label);
  for (const inner of anchor.querySelectorAll('a')) inner.replaceWith(...inner.childNodes); // an image in a link
  if (!anchor.textContent) anchor.append(url.href);
  return anchor;
}

function decode(text) {
  return text.replace(/&(?:#x([\da-f]{1,6})|#(\d{1,7})|(\w+));/gi, (written, hex, decimal, name) => {
    if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : written;
    const code = hex ? parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}
