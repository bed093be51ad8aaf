import { ask } from '../../support/chat.ts'
import { GUIDE, sendForText } from '../../support/markdown.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

test.use({ viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true })

test('nothing is wider than the screen, whatever is said', async ({ chat }) => {
  await ask(chat, question(`${'Donaudampfschiffahrt'.repeat(10)}\n${'many words '.repeat(20)}`.trim()))

  await sendForText(chat, GUIDE)
  await expect(chat.answers.last()).toContainText('the guide')

  const messages = chat.page.getByRole('region', { name: 'Messages' })
  for (const each of [chat.page.locator('html'), messages]) {
    expect(await each.evaluate((it) => it.scrollWidth)).toBeLessThanOrEqual(360)
  }
  for (const each of [chat.field, chat.sendButton, chat.newChatButton, chat.menuButton]) {
    await expect(each).toBeInViewport({ ratio: 1 })
  }
})

test('what can be tapped is large enough', async ({ chat }) => {
  await ask(chat, question('Hello'))
  const buttons = await chat.page.locator('button:visible, summary:visible, select:visible').all()

  const small: string[] = []
  for (const button of buttons) {
    const box = await button.boundingBox()
    // WCAG 2.2, 2.5.8
    if (box && (box.height < 24 || box.width < 24)) small.push((await button.textContent()) ?? '')
  }

  expect(buttons.length).toBeGreaterThan(3)
  expect(small).toEqual([])
})

test('the side is a sheet: it opens, closes by Escape, and gives the focus back', async ({ chat }) => {
  await expect(chat.side).toBeHidden()
  await chat.menuButton.tap()
  await expect(chat.side).toBeVisible()
  await expect(chat.menuButton).toHaveAttribute('aria-expanded', 'true')
  await chat.side.getByRole('button').first().focus()

  await chat.page.keyboard.press('Escape')

  await expect(chat.side).toBeHidden()
  await expect(chat.menuButton).toBeFocused()
  await expect(chat.menuButton).toHaveAttribute('aria-expanded', 'false')
})

test('a new chat closes the sheet', async ({ chat }) => {
  await ask(chat, question('Hello'))
  await chat.menuButton.tap()
  await chat.newChatButton.tap()

  await expect(chat.side).toBeHidden()
  await expect(chat.questions).toHaveCount(0)
  await expect(chat.field).toBeVisible()
})
