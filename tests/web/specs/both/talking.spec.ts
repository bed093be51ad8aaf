import { ask, send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

const FIRST_HALF = 'This is the first half,'
const WHOLE = 'This is the first half, and this is the second half.'

test('a first visit needs nothing: one may write at once, and is answered', async ({ chat }) => {
  await expect(chat.page.getByText('Say something')).toBeVisible()
  await expect(chat.field).toBeFocused()
  const asked = question('Hello there')

  await chat.page.keyboard.type(asked)
  await chat.page.keyboard.press('Enter')

  await expect(chat.questions).toHaveCount(1)
  await expect(chat.questions).toContainText(asked)
  await expect(chat.answers).toContainText(`You said: ${asked}`)
  await expect(chat.field).toHaveValue('')
  await expect(chat.field).toBeFocused()
})

test('an answer is seen while it is being made', async ({ chat }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)

  await expect(chat.answers.locator('.text')).toHaveText(FIRST_HALF)
  await expect(chat.stopButton).toBeVisible()
  await release(asked)

  await expect(chat.answers.locator('.text')).toHaveText(WHOLE)
  await expect(chat.sendButton).toBeVisible()
})

test('what is written during an answer is kept, and sent after it', async ({ chat }) => {
  const asked = question('Tell me in two halves')
  await send(chat, asked)
  await expect(chat.answers).toContainText(FIRST_HALF)

  const next = question('And then')
  await chat.field.fill(next)
  await chat.field.press('Enter')
  await expect(chat.questions).toHaveCount(1)
  await release(asked)
  await expect(chat.sendButton).toBeVisible()
  await chat.field.press('Enter')

  await expect(chat.answers.last()).toContainText(`You said: ${next}`)
})

test('the page follows a long answer, unless one has scrolled away', async ({ chat }) => {
  const asked = question('Tell me at length')
  const answer = chat.answers.locator('.text')
  await send(chat, asked)
  await expect(answer).toContainText('Line 40')
  await expect(answer).toBeInViewport()
  const box = chat.page.getByRole('region', { name: 'Messages' })
  const fromEnd = () => box.evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight)
  await expect.poll(fromEnd).toBeLessThan(48)

  await box.hover()
  await chat.page.mouse.wheel(0, -300)
  await expect.poll(fromEnd).toBeGreaterThan(200)
  await release(asked)
  await expect(answer).toContainText('Line 80')
  expect(await fromEnd()).toBeGreaterThan(500)

  await chat.page.getByRole('button', { name: 'Jump to latest' }).click()
  await expect.poll(fromEnd).toBeLessThan(48)
})

test('a conversation is called by its beginning once it is answered', async ({ chat }) => {
  const asked = question('A name for this')
  await ask(chat, asked)

  await expect(chat.page.getByRole('heading', { level: 1 })).toContainText(asked)
  await expect(chat.page).toHaveTitle(new RegExp(`^${asked} · `))
  await ask(chat, question('Something else'))
  await chat.page.reload()
  await expect(chat.page).toHaveTitle(new RegExp(`^${asked} · `))
})
