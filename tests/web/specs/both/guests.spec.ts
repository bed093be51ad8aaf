import { randomUUID } from 'node:crypto'

import { ask, type Chat } from '../../support/chat.ts'
import { Example } from '../../support/example.ts'
import { question } from '../../support/model.ts'
import { Playground } from '../../support/playground.ts'
import { expect, test } from '../../support/test.ts'

const MISSING = 'This conversation does not exist'

function idOf(address: string): string {
  return /[0-9a-f-]{36}$/.exec(address)?.[0] ?? ''
}

test('a guest says nothing under an id that somebody else chose', async ({ chat, baseURL }) => {
  const chosen = randomUUID()
  const sent: string[] = []
  chat.page.on('request', (request) => {
    if (request.method() === 'POST') sent.push(new URL(request.url()).pathname)
  })

  await openLink(chat, baseURL, chosen)

  await expect(chat.page.getByText(MISSING).first()).toBeVisible()
  await expect(chat.field).toBeHidden()
  expect(sent).not.toContain('/api/chat')

  await chat.page.locator('main').getByRole('button', { name: 'New chat' }).click()
  await ask(chat, question('Is this mine?'))
  expect(idOf(chat.page.url())).not.toBe(chosen)
  expect(idOf(chat.page.url())).not.toBe('')
})

test('a guest comes back by the key that the browser keeps, and another browser does not', async ({
  chat,
  baseURL,
  browser,
}) => {
  const asked = question('For my eyes only?')
  await ask(chat, asked)
  const id = idOf(chat.page.url())

  await chat.page.reload()
  await expect(chat.questions).toContainText([asked])

  const stranger = await browser.newContext()
  const page = await stranger.newPage()
  const other = chat instanceof Playground ? new Playground(page) : new Example(page)
  await openLink(other, baseURL, id)
  await expect(page.getByText(MISSING).first()).toBeVisible()
  await expect(page.locator('body')).not.toContainText(asked)
  await stranger.close()
})

/** Go to a conversation by a link that somebody has sent. */
async function openLink(chat: Chat, baseURL: string | undefined, id: string): Promise<void> {
  const path = chat instanceof Playground ? `/#${id}` : `/chat/${id}`
  // Not within the page, which would only change the part after #.
  await chat.page.goto('about:blank')
  await chat.page.goto(`${baseURL}${path}`)
}
