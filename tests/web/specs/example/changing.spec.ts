import { ask, send } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser } from '../../support/users.ts'

test('an answer is asked for again, and the new one takes its place', async ({ chat }) => {
  const asked = question('Say it')
  await ask(chat, asked)
  await chat.answers.getByRole('button', { name: 'Regenerate' }).click()

  await expect(chat.answers).toContainText(`You said again: ${asked}`)
  await chat.page.reload()
  await expect(chat.answers).toContainText(`You said again: ${asked}`)
  await expect(chat.answers).toHaveCount(1)
})

test('an edit replaces the message and all that came after it', async ({ chat }) => {
  const { page } = chat
  await ask(chat, question('First'))
  await ask(chat, question('Second'))
  const edit = chat.questions.first().getByRole('button', { name: 'Edit' })
  await edit.click()
  await expect(page.getByRole('textbox', { name: 'Edited message' })).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(chat.questions).toHaveCount(2)

  await edit.click()
  const better = question('First, but better')
  await page.getByRole('textbox', { name: 'Edited message' }).fill(better)
  await page.getByRole('button', { name: 'Send again' }).click()

  await expect(chat.answers).toHaveCount(1)
  await expect(chat.answers).toContainText(`You said: ${better}`)
  await page.reload()
  await expect(chat.questions).toHaveCount(1)
  await expect(chat.questions).toContainText(better)
})

test('a task that the assistant has added is on the page of tasks, and can be done', async ({ chat }) => {
  const { page } = chat
  await chat.become(newUser())
  const asked = question('Remember to buy milk')
  await send(chat, asked)
  await expect(chat.answers).toContainText('I have noted it.')

  await page.getByRole('link', { name: 'Tasks' }).click()
  const task = page.getByRole('checkbox', { name: asked.replace('Remember to ', '') })
  await expect(page.getByRole('region', { name: 'To do' }).getByRole('checkbox')).toHaveCount(1)
  await task.click()
  await expect(page.getByRole('region', { name: 'Done' }).getByRole('checkbox')).toBeChecked()

  await page.getByRole('textbox', { name: 'New task' }).fill('Drink it')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('region', { name: 'To do' })).toContainText('Drink it')
  await page.getByRole('button', { name: 'Delete Drink it' }).click()
  await expect(page.getByRole('region', { name: 'To do' })).toContainText('None.')
})
