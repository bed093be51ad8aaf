import { SCREENS } from '../../support/accessibility.ts'
import { ask } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

test('the model of the choice answers, and a conversation keeps it over a reload', async ({ chat }) => {
  const model = chat.page.getByLabel('Model', { exact: true })
  await expect(model).toHaveValue('Quick')
  const effort = chat.page.getByLabel('Effort', { exact: true })
  await expect(effort).toBeHidden()

  await model.selectOption({ value: 'Thorough' })
  await expect(effort).toBeVisible()
  await effort.selectOption({ value: 'high' })
  const answered = chat.page.waitForRequest((request) => request.url().endsWith('/api/chat'))
  await ask(chat, question('Which model?'))

  expect((await answered).postDataJSON()).toMatchObject({ model: 'Thorough', reasoning_effort: 'high' })
  await chat.page.reload()
  await expect(model).toHaveValue('Thorough')
})

for (const { name, use } of SCREENS) {
  test.describe(name, () => {
    test.use(use)

    test('a page says which model stood in for another one, and keeps saying it', async ({ chat }, info) => {
      await chat.page.getByLabel('Model', { exact: true }).selectOption({ value: 'Thorough' })
      // In the choice itself, or beside it.
      await expect(chat.field.locator('xpath=ancestor::form')).toContainText(/stand-in: Quick|Quick answers/)

      await ask(chat, question('Say something while Thorough is gone'))

      const words = 'Thorough did not respond, so Quick stood in for it.'
      await expect(chat.answers.last()).toContainText(words)
      await chat.page.screenshot({ path: info.outputPath('stood-in.png') })
      await chat.page.reload()
      await expect(chat.answers.last()).toContainText(words)
    })
  })
}
