import { ask } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser, PASSWORD, registered } from '../../support/users.ts'

test('who makes an account finds the conversations again after signing in', async ({ chat }) => {
  const { email } = newUser()
  await chat.register(email, PASSWORD)
  await expect(chat.page.getByRole('button', { name: 'Sign out' })).toBeVisible()
  const asked = question('This is mine')
  await ask(chat, asked)
  await expect(chat.conversations.filter({ hasText: asked })).toBeVisible()

  await chat.signOut()
  await expect(chat.page.locator('body')).not.toContainText(asked)
  await chat.signIn(email, PASSWORD)
  await chat.conversations.filter({ hasText: asked }).click()

  await expect(chat.answers).toContainText(`You said: ${asked}`)
})

test('a wrong password is told in words, and the address stays written', async ({ chat }) => {
  const { email } = await registered()
  await chat.signIn(email, 'not the password')

  await expect(chat.page.getByText(/password/i).filter({ hasText: /wrong|no account|not/i })).toBeVisible()
  await expect(chat.page.getByRole('textbox', { name: 'E-mail' })).toHaveValue(email)
})

test('who registers an address that has an account is told how to go on, and not that it is taken', async ({ chat }) => {
  const { email } = await registered()
  await chat.register(email, 'another password')

  await expect(chat.page.getByText('If you have an account already, use its password.')).toBeVisible()
  await expect(chat.page.getByRole('textbox', { name: 'E-mail' })).toHaveValue(email)
  await expect(chat.page.getByRole('button', { name: 'Sign out' })).toBeHidden()
})

test('another user sees nothing of it', async ({ chat }) => {
  await chat.become(newUser())
  const asked = question('Only for me')
  await ask(chat, asked)

  await chat.signOut()
  await chat.become(newUser())

  await expect(chat.page.getByText('No conversations')).toBeVisible()
  await expect(chat.page.locator('body')).not.toContainText(asked)
})

test('who signs out goes on as a guest, in a conversation of its own', async ({ chat }) => {
  await chat.become(newUser())
  const mine = question('Only for me')
  await ask(chat, mine)

  await chat.signOut()
  await expect(chat.questions).toHaveCount(0)
  await expect(chat.field).toBeEditable()
  const asked = question('As a guest')
  await ask(chat, asked)

  await expect(chat.questions).toHaveCount(1)
  await expect(chat.notice).toHaveCount(0)
})
