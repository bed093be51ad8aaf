import { AxeBuilder } from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { ask, send } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser } from '../../support/users.ts'

/** What axe finds that keeps people from using the page, each with the elements that it is about. */
async function seriousProblems(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join('\n')}`)
}

const SCREENS = [
  { name: 'light, on a desk', use: { colorScheme: 'light' as const } },
  {
    name: 'dark, on a phone',
    use: { colorScheme: 'dark' as const, viewport: { width: 360, height: 740 }, hasTouch: true },
  },
]

for (const { name, use } of SCREENS) {
  test.describe(name, () => {
    test.use(use)

    test('axe finds no serious problem', async ({ chat }) => {
      expect(await seriousProblems(chat.page), 'empty').toEqual([])

      await ask(chat, question('Say something wrong'))
      await chat.markMistake(chat.answers, 'That is not so.')
      await expect(chat.markOf(chat.answers)).toBeVisible()
      expect(await seriousProblems(chat.page), 'an answer that is marked').toEqual([])

      await send(chat, question('Tell me in two halves'))
      await expect(chat.answers.last()).toContainText('This is the first half,')
      expect(await seriousProblems(chat.page), 'an answer that is being made').toEqual([])
      await chat.stopButton.click()
      await expect(chat.sendButton).toBeVisible()
      expect(await seriousProblems(chat.page), 'an answer that was stopped').toEqual([])

      await send(chat, question('Answer me while it is down'))
      await expect(chat.notice).toBeVisible()
      expect(await seriousProblems(chat.page), 'a failure').toEqual([])
    })

    test('axe finds no serious problem for a user', async ({ chat }) => {
      if (await chat.menuButton.isVisible()) await chat.menuButton.click()
      await chat.become(newUser())
      if (await chat.side.isVisible()) await chat.menuButton.or(chat.newChatButton).first().click()
      await send(chat, question('Remember to buy milk'))
      await expect(chat.answers).toContainText('I have noted it.')
      await chat.answers.locator('details.tool summary').click()
      expect(await seriousProblems(chat.page), 'a tool call').toEqual([])

      if (await chat.menuButton.isVisible()) await chat.menuButton.click()
      await expect(chat.conversations.first()).toBeVisible()
      expect(await seriousProblems(chat.page), 'the list').toEqual([])
    })
  })
}
