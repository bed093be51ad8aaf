import { expectNoSeriousProblem } from '../../support/accessibility.ts'
import { ask } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

test('earlier messages are loaded on demand, and what was read stays in place', async ({ chat, baseURL }) => {
  await expect(chat.page).toHaveURL(/#[0-9a-f-]{36}$/)
  const id = new URL(chat.page.url()).hash.slice(1)
  const keys = await chat.page.evaluate(() => localStorage.getItem('parley.keys'))
  const key = (JSON.parse(keys ?? '{}') as Record<string, string>)[id] ?? ''
  for (let turn = 1; turn <= 26; turn += 1) {
    const response = await fetch(`${baseURL}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-conversation-key': key },
      body: JSON.stringify({ message: `Number ${turn}.`, conversation_id: id }),
    })
    expect(response.status).toBe(200)
  }
  await chat.page.reload()
  await expect(chat.answers).toHaveCount(25)
  const oldest = chat.questions.first()
  await oldest.scrollIntoViewIfNeeded()
  const before = await oldest.evaluate((it) => it.getBoundingClientRect().top)

  await chat.page.getByRole('button', { name: 'Load earlier messages' }).click()

  await expect(chat.answers).toHaveCount(26)
  await expect(chat.questions.first()).toContainText('Number 1.')
  const same = chat.questions.filter({ hasText: /Number 2\./ })
  const after = await same.evaluate((it) => it.getBoundingClientRect().top)
  expect(Math.abs(after - before)).toBeLessThan(60) // the button has gone
})

test('the last message as curl: a dialog that gives the focus back', async ({ chat }) => {
  const asked = question("It's quoted")
  await ask(chat, asked)
  const curl = chat.page.getByRole('button', { name: 'Copy curl' })
  await curl.focus()
  await chat.page.keyboard.press('Enter')
  const dialog = chat.page.getByRole('dialog', { name: 'The last message as curl' })
  await expect(dialog.getByRole('textbox')).toHaveValue(/^curl -N 'http/)
  await expectNoSeriousProblem(chat.page, 'the dialog')

  await chat.page.keyboard.press('Escape')

  await expect(dialog).toBeHidden()
  await expect(curl).toBeFocused()
})

test('details of an answer are told on demand', async ({ chat }) => {
  await ask(chat, question('How was it made'))
  await chat.answers.getByText('Details').click()

  await expect(chat.answers.locator('dl')).toContainText('model_name')
  await expect(chat.answers.locator('dl')).toContainText('prompt_tokens')
})
