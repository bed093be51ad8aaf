import { ask, type Chat } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

/** Go on by Tab, as often as it takes. */
async function tabTo(chat: Chat, name: string | RegExp): Promise<void> {
  const wanted = chat.page.locator(':focus').and(chat.page.getByRole('button', { name }))
  for (let steps = 0; steps < 40; steps += 1) {
    if (await wanted.count()) return
    await chat.page.keyboard.press('Tab')
  }
  throw new Error(`Tab does not lead to ${name}.`)
}

test('the first link jumps over what stands before the conversation', async ({ chat }) => {
  const skip = chat.page.getByRole('link', { name: /^Skip to/ })
  const first = chat.page.locator('a[href], button, input, select, textarea, [tabindex]').first()
  expect(await first.textContent()).toBe(await skip.textContent())
  const { hash } = new URL(chat.page.url())

  await skip.focus()
  await expect(skip).toBeInViewport()
  await chat.page.keyboard.press('Enter')

  const isInMain = () => document.activeElement?.closest('main') !== null
  expect(await chat.page.evaluate(isInMain)).toBe(true)
  expect(new URL(chat.page.url()).hash.replace('#main', '')).toBe(hash)
})

test('by keyboard alone: send, stop, and write on', async ({ chat }) => {
  const { keyboard } = chat.page
  await keyboard.type(question('Two lines'))
  await keyboard.press('Shift+Enter')
  await keyboard.type('in two halves')
  await keyboard.press('Enter')
  await expect(chat.questions.locator('.text')).toContainText(/Two lines .*\nin two halves/)
  await expect(chat.answers).toContainText('This is the first half,')

  await tabTo(chat, 'Stop')
  await keyboard.press('Enter')
  await expect(chat.sendButton).toBeVisible()
  await expect(chat.field).toBeFocused()
  const next = question('Go on')
  await keyboard.type(next)
  await keyboard.press('Enter')

  await expect(chat.answers.last()).toContainText(`You said: ${next}`)
})

test('Escape stops an answer', async ({ chat }) => {
  await chat.field.fill(question('Tell me in two halves'))
  await chat.page.keyboard.press('Enter')
  await expect(chat.answers).toContainText('This is the first half,')

  await chat.page.keyboard.press('Escape')

  await expect(chat.sendButton).toBeVisible()
  await expect(chat.answers).toContainText(/stopped (here|the answer here)/)
})

test('a new chat has the focus where one writes', async ({ chat }) => {
  await ask(chat, question('Say something'))
  await chat.newChatButton.focus()
  await chat.page.keyboard.press('Enter')

  await expect(chat.questions).toHaveCount(0)
  await expect(chat.field).toBeFocused()
})
