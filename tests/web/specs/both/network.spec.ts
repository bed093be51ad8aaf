import { ask, type Chat, send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import type { Network } from '../../support/network.ts'
import { expect, test } from '../../support/test.ts'

const FIRST_HALF = 'This is the first half,'
const WHOLE = 'This is the first half, and this is the second half.'

async function goOffline(chat: Chat, network: Network): Promise<void> {
  await chat.page.context().setOffline(true)
  network.cut()
}

async function comeBack(chat: Chat, network: Network): Promise<void> {
  network.mend()
  await chat.page.context().setOffline(false)
}

test('offline in the middle of an answer, and back: it is whole, once', async ({ chat, network }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)
  await expect(chat.answers).toContainText(FIRST_HALF)

  await goOffline(chat, network)
  await release(asked)
  await expect(chat.page.getByText(/The connection broke|You are offline/).first()).toBeVisible()
  await comeBack(chat, network)
  await chat.comeBackToAnswer()

  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
  await expect(chat.sendButton).toBeVisible()
  await expect(chat.questions).toHaveCount(1)
  await chat.page.reload()
  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
})

test('a line that breaks for a moment loses nothing', async ({ chat, network }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)
  await expect(chat.answers).toContainText(FIRST_HALF)

  network.cut()
  network.mend()
  await release(asked)
  await chat.comeBackToAnswer()

  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
  await expect(chat.questions).toHaveCount(1)
})

test('a message that is sent offline is kept, told, and sent again', async ({ chat, network }) => {
  await goOffline(chat, network)
  const asked = question('Can you hear me')
  await send(chat, asked)
  await expect(chat.notice).toContainText('You are offline.')
  await expect(chat.questions).toContainText(asked)

  await comeBack(chat, network)
  await chat.notice.getByRole('button', { name: 'Try again' }).click()

  await expect(chat.answers).toContainText(`You said: ${asked}`)
  await expect(chat.questions).toHaveCount(1)
  await expect(chat.notice).toHaveCount(0)
})

test('a conversation that cannot be loaded can be loaded later', async ({ chat }) => {
  const asked = question('Remember this')
  await ask(chat, asked)
  const address = chat.page.url()
  await chat.newChatButton.click()
  await expect(chat.questions).toHaveCount(0)

  await chat.page.context().route('**/api/history**', (route) => route.abort())
  await chat.page.goBack()
  expect(chat.page.url()).toBe(address)
  await expect(chat.notice).toContainText('The server cannot be reached.')
  await chat.page.context().unroute('**/api/history**')
  await chat.notice.getByRole('button', { name: 'Try again' }).click()

  await expect(chat.answers).toContainText(asked)
})
