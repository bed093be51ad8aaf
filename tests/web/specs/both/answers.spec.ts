import { ask, send } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser } from '../../support/users.ts'

test('a mistake is marked with a note, and the mark is kept', async ({ chat }) => {
  await ask(chat, question('Say something wrong'))
  await chat.markMistake(chat.answers, 'That is not so.')
  await expect(chat.markOf(chat.answers)).toBeVisible()

  await chat.page.reload()
  await chat.markOf(chat.answers).click()

  await expect(chat.page.getByText('That is not so.')).toBeVisible()
})

test('a task is added by a tool, which is shown with what it was called with', async ({ chat }) => {
  await chat.become(newUser())
  const asked = question('Remember to buy milk')
  await send(chat, asked)
  const call = chat.answers.locator('details.tool')
  await expect(call).toContainText(/add.task/i)
  await expect(call).toContainText('done')
  await expect(chat.answers).toContainText('I have noted it.')

  await call.locator('summary').click()
  await expect(call.locator('pre').first()).toContainText(asked.replace('Remember to ', ''))
  await chat.page.reload()
  await expect(call).toContainText('done')
  await expect(chat.answers).toContainText('I have noted it.')
})
