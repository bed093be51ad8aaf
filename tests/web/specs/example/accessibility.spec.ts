import { expectNoSeriousProblem, SCREENS } from '../../support/accessibility.ts'
import { ask, openSide } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser, tokenOf } from '../../support/users.ts'

for (const { name, use } of SCREENS) {
  test.describe(name, () => {
    test.use(use)

    test('axe finds no serious problem in a dialog', async ({ chat }) => {
      const { page } = chat
      await ask(chat, question('Hello'))
      for (const button of ['Rename', 'Delete', 'Mark as a mistake']) {
        await page.getByRole('button', { name: button }).click()
        await expect(page.getByRole('dialog')).toBeVisible()
        await expectNoSeriousProblem(page, button)
        await page.keyboard.press('Escape')
        await expect(page.getByRole('button', { name: button })).toBeFocused()
      }

      await openSide(chat)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await expectNoSeriousProblem(page, 'signing in')
    })

    test('axe finds no serious problem in what else one comes to', async ({ chat }) => {
      const { page } = chat
      const user = newUser()
      await chat.become(user)
      await ask(chat, question('Hello penguins'))
      await page.getByRole('button', { name: 'Edit' }).click()
      await expectNoSeriousProblem(page, 'an edit')
      await page.keyboard.press('Escape')

      await page.getByRole('button', { name: 'Archive' }).click()
      await expect(page.getByText('This conversation is archived.')).toBeVisible()
      await expectNoSeriousProblem(page, 'an archived conversation')

      await openSide(chat)
      await page.getByRole('combobox').selectOption('Archived')
      await page.getByRole('searchbox').fill('penguins')
      await expect(chat.conversations.locator('mark').first()).toBeVisible()
      await expectNoSeriousProblem(page, 'a search')

      await page.getByRole('link', { name: 'Tasks' }).click()
      await page.getByRole('textbox', { name: 'New task' }).fill('Buy milk')
      await page.keyboard.press('Enter')
      await expect(page.getByRole('checkbox')).toHaveCount(1)
      await expectNoSeriousProblem(page, 'tasks')

      await chat.become(user, tokenOf(user, -60))
      await expect(chat.sessionNotice).toBeVisible()
      await expectNoSeriousProblem(page, 'a session that has ended')
    })
  })
}
