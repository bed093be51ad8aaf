import { ask } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser, PASSWORD } from '../../support/users.ts'

test('an archived conversation is out of the list, takes no message, and comes back', async ({ chat }) => {
  const { page } = chat
  await chat.become(newUser())
  const asked = question('Put this away')
  await ask(chat, asked)
  const inList = chat.conversations.filter({ hasText: asked })
  await expect(inList).toBeVisible()

  await page.getByRole('button', { name: 'Archive' }).click()
  await expect(page.getByText('This conversation is archived.')).toBeVisible()
  await expect(inList).toHaveCount(0)
  await expect(chat.field).toHaveCount(0)
  await page.getByRole('combobox', { name: 'Which conversations' }).selectOption('Archived')
  await expect(inList).toBeVisible()

  await page.getByRole('button', { name: 'Make active' }).click()
  await expect(inList).toHaveCount(0)
  await ask(chat, question('And go on'))
})

test('a conversation is found by a word that was said in it', async ({ chat }) => {
  const { page } = chat
  await chat.become(newUser())
  await ask(chat, question('Where do walruses sleep'))
  const asked = question('What do penguins eat')
  await chat.newChatButton.click()
  await expect(page.getByRole('heading', { name: 'New chat' })).toBeVisible()
  await ask(chat, asked)
  await expect(chat.conversations).toHaveCount(2)
  await chat.newChatButton.click()

  const search = page.getByRole('searchbox', { name: 'Search conversations' })
  await search.fill('penguins')
  await expect(chat.conversations).toHaveCount(1)
  await expect(chat.conversations.locator('mark').first()).toHaveText(/penguins/i)
  await chat.conversations.click()
  await expect(chat.questions).toContainText(asked)

  await search.fill('zebras')
  await expect(page.getByText('Nothing found.')).toBeVisible()
  await search.fill('')
  await expect(chat.conversations).toHaveCount(2)
})

test('a conversation is renamed and deleted by keyboard; dialogs give the focus back', async ({ chat }) => {
  const { page } = chat
  await ask(chat, question('Call this something'))
  const rename = page.getByRole('button', { name: 'Rename' })
  await rename.focus()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog', { name: 'Rename conversation' })).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await expect(rename).toBeFocused()

  await page.keyboard.press('Enter')
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.type('A better name')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('A better name')
  await expect(rename).toBeFocused()
  await expect(chat.conversations).toContainText(['A better name'])

  await page.getByRole('button', { name: 'Delete' }).click()
  const dialog = page.getByRole('dialog', { name: 'Delete conversation?' })
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await expect(chat.questions).toHaveCount(1)
  await page.getByRole('button', { name: 'Delete' }).click()
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await expect(chat.questions).toHaveCount(0)
  await expect(chat.conversations).toHaveCount(0)
})

test('what a guest has said becomes the account’s', async ({ chat }) => {
  const asked = question('Said as a guest')
  await ask(chat, asked)
  await expect(chat.conversations).toContainText([asked])
  const { email } = newUser()

  await chat.register(email, PASSWORD)
  await expect(chat.page.getByRole('button', { name: 'Sign out' })).toBeVisible()
  await expect(chat.questions).toContainText(asked)
  await expect(chat.conversations.filter({ hasText: asked })).toBeVisible()
  await ask(chat, question('Said as a user'))
  const address = chat.page.url()

  await chat.signOut()
  await chat.page.goto(address)
  await expect(chat.page.getByText('This conversation does not exist').first()).toBeVisible()
  await expect(chat.page.locator('body')).not.toContainText(asked)
})
