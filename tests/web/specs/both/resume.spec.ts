import { ask, send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import { expect, secondTab, test } from '../../support/test.ts'

const FIRST_HALF = 'This is the first half,'
const WHOLE = 'This is the first half, and this is the second half.'

test('the address leads back to the conversation', async ({ chat }) => {
  const asked = question('Keep this')
  await ask(chat, asked)
  const address = chat.page.url()
  await chat.newChatButton.click()
  await expect(chat.questions).toHaveCount(0)

  await chat.page.goto(address)

  await expect(chat.questions).toContainText(asked)
  await expect(chat.answers).toContainText(`You said: ${asked}`)
  await chat.page.goBack()
  await expect(chat.questions).toHaveCount(0)
})

test('a reload in the middle shows the whole answer, once', async ({ chat }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)
  await expect(chat.answers).toContainText(FIRST_HALF)

  await chat.page.reload()
  await expect(chat.answers.locator('.text')).toHaveText(FIRST_HALF)
  await expect(chat.stopButton).toBeVisible()
  await release(asked)

  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
  await expect(chat.sendButton).toBeVisible()
  await expect(chat.questions).toHaveCount(1)
  await expect(chat.answers).toHaveCount(1)
})

test('a second tab reads along', async ({ chat }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)
  await expect(chat.answers).toContainText(FIRST_HALF)
  const other = await secondTab(chat)
  await expect(other.answers.locator('.text')).toHaveText(FIRST_HALF)

  await release(asked)

  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
  await expect(other.answers.locator('.text')).toHaveText(WHOLE)
  await expect(other.sendButton).toBeVisible()
})

test('what a second tab has said meanwhile is told, and found', async ({ chat }) => {
  await ask(chat, question('Begin here'))
  const other = await secondTab(chat)
  await expect(other.answers).toHaveCount(1)
  const elsewhere = question('Said elsewhere in two halves')
  await send(other, elsewhere)
  await expect(other.answers).toHaveCount(2)

  await send(chat, question('Said here'))

  await expect(chat.notice).toContainText('being answered')
  await release(elsewhere)
  await expect(other.answers.last()).toContainText(WHOLE)
  await chat.page.reload()
  await expect(chat.questions.filter({ hasText: elsewhere })).toHaveCount(1)
})
