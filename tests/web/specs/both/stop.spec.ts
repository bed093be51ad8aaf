import { ask, send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import { expect, secondTab, test } from '../../support/test.ts'

const FIRST_HALF = 'This is the first half,'
const STOPPED = /stopped (here|the answer here)/

test('a stopped answer stays as far as it was, and the next message is answered', async ({ chat }) => {
  await send(chat, question('Tell me in two halves'))
  await expect(chat.answers).toContainText(FIRST_HALF)

  await chat.stopButton.click()
  await expect(chat.sendButton).toBeVisible()
  await expect(chat.answers).toContainText(STOPPED)
  await expect(chat.answers.locator('.text')).toHaveText(FIRST_HALF)
  const next = question('Go on')
  await ask(chat, next)

  await chat.page.reload()
  await expect(chat.answers.first()).toContainText(STOPPED)
  await expect(chat.answers.last()).toContainText(`You said: ${next}`)
})

test('an answer that has said nothing yet can be stopped, and asked for again', async ({ chat }) => {
  const asked = question('Think in silence')
  await send(chat, asked)
  await chat.stopButton.click()
  await expect(chat.sendButton).toBeVisible()
  await expect(chat.answers.locator('.text').filter({ hasText: /\S/ })).toHaveCount(0)

  await release(asked)
  await chat.page.getByRole('button', { name: /^(Get the answer|Answer it)$/ }).click()

  await expect(chat.answers).toContainText('You said')
})

test('one tab stops what the other has begun', async ({ chat }) => {
  await send(chat, question('Tell me in two halves'))
  await expect(chat.answers).toContainText(FIRST_HALF)
  const other = await secondTab(chat)
  await expect(other.answers).toContainText(FIRST_HALF)

  await other.stopButton.click()

  await expect(chat.answers).toContainText(STOPPED)
  await expect(other.answers).toContainText(STOPPED)
  await expect(chat.sendButton).toBeVisible()
})

test('the second click of a double click on Send stops nothing', async ({ chat }) => {
  const asked = question('Tell me in two halves')
  await chat.field.fill(asked)
  const box = (await chat.sendButton.boundingBox())!
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]
  await chat.page.mouse.click(x, y)
  await chat.stopButton.waitFor()
  await chat.page.mouse.down({ clickCount: 2 })
  await chat.page.mouse.up({ clickCount: 2 })
  await expect(chat.answers).toContainText(FIRST_HALF)
  await release(asked)

  await expect(chat.answers).toContainText('and this is the second half.')
})
