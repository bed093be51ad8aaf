import { ask, send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser, PASSWORD, registered, tokenOf } from '../../support/users.ts'
// How long after its end Parley still takes a token (`lib/identity/_tokens.py`).
const LEEWAY_SECONDS = 30

test('while the provider is down that is told, and trying again is enough', async ({ chat }) => {
  const asked = question('Answer me while it is down')
  await send(chat, asked)
  const tryAgain = chat.notice.getByRole('button', { name: 'Try again' })
  await expect(tryAgain).toBeVisible()
  await expect(chat.page.locator('body')).not.toContainText('sk-secret')
  await expect(chat.questions).toHaveCount(1)

  await release(asked)
  await expect(tryAgain).not.toHaveAttribute('aria-disabled', 'true')
  await tryAgain.click()

  await expect(chat.answers).toContainText('You said')
  await expect(chat.notice).toHaveCount(0)
  await expect(chat.questions).toHaveCount(1)
})

test('an answer that breaks off keeps what it said, until it is tried again', async ({ chat }) => {
  const asked = question('Tell me what breaks off')
  await send(chat, asked)
  await expect(chat.answers).toContainText('This is the first half,')
  await expect(chat.notice.getByRole('button', { name: 'Try again' })).toBeVisible()

  await chat.page.reload()
  await expect(chat.answers).toContainText('Something went wrong during this answer.')
  await chat.page.getByRole('button', { name: /^(Try again|Regenerate)$/ }).click()

  await expect(chat.answers).toHaveCount(1)
  await expect(chat.answers).toContainText(`You said again: ${asked}`)
})

test('a message that is refused goes back into the field', async ({ chat }) => {
  const tooLong = 'x'.repeat(10_001)
  await send(chat, tooLong)

  await expect(chat.notice).toContainText('10,000 at most')
  await expect(chat.field).toHaveValue(tooLong)
  await expect(chat.questions).toHaveCount(0)
})

test('a token that has expired is told, and what was written is not lost', async ({ chat }) => {
  const account = await registered()
  await chat.become(account)
  const asked = question('Before it expired')
  await ask(chat, asked)
  await expect(chat.conversations.filter({ hasText: asked })).toBeVisible()

  await chat.become(account, tokenOf(account, -60))
  await expect(chat.sessionNotice).toContainText(/session has ended|token/i)
  await expect(chat.page.locator('body')).not.toContainText('signature')
  await chat.signIn(account.email, PASSWORD)

  await expect(chat.conversations.filter({ hasText: asked })).toBeVisible()
  await expect(chat.page.getByText('session has ended')).toHaveCount(0)
})

test('a token that expires while one writes gives the message back', async ({ chat }) => {
  const user = newUser()
  await chat.become(user, tokenOf(user, 3 - LEEWAY_SECONDS))
  await chat.page.waitForTimeout(4000)
  const asked = question('Too late')
  await send(chat, asked)

  await expect(chat.field).toHaveValue(asked)
  await expect(chat.questions).toHaveCount(0)
  await expect(chat.sessionNotice).toContainText(/session has ended|token/i)
})
