import { expectNoSeriousProblem, SCREENS } from '../../support/accessibility.ts'
import { ask, openSide, send } from '../../support/chat.ts'
import { GUIDE, sendForText } from '../../support/markdown.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser } from '../../support/users.ts'

for (const { name, use } of SCREENS) {
  test.describe(name, () => {
    test.use(use)

    test('axe finds no serious problem', async ({ chat }) => {
      await expectNoSeriousProblem(chat.page, 'empty')

      await ask(chat, question('Say something wrong'))
      await chat.markMistake(chat.answers, 'That is not so.')
      await expect(chat.markOf(chat.answers)).toBeVisible()
      await expectNoSeriousProblem(chat.page, 'an answer that is marked')

      await send(chat, question('Tell me in two halves'))
      await expect(chat.answers.last()).toContainText('This is the first half,')
      await expectNoSeriousProblem(chat.page, 'an answer that is being made')
      await chat.stopButton.click()
      await expect(chat.sendButton).toBeVisible()
      await expectNoSeriousProblem(chat.page, 'an answer that was stopped')

      await send(chat, question('Answer me while it is down'))
      await expect(chat.notice).toBeVisible()
      await expectNoSeriousProblem(chat.page, 'a failure')
    })

    test('axe finds no serious problem in Markdown', async ({ chat }) => {
      await sendForText(chat, GUIDE)
      await expect(chat.answers).toContainText('the guide')
      await chat.sendButton.waitFor()
      await expectNoSeriousProblem(chat.page, 'an answer in Markdown')
    })

    test('axe finds no serious problem for a user', async ({ chat }) => {
      await openSide(chat)
      await chat.become(newUser())
      await chat.newChatButton.click()
      await send(chat, question('Remember to buy milk'))
      await expect(chat.answers).toContainText('I have noted it.')
      await chat.answers.locator('details.tool summary').click()
      await expectNoSeriousProblem(chat.page, 'a tool call')

      await openSide(chat)
      await expect(chat.conversations.first()).toBeVisible()
      await expectNoSeriousProblem(chat.page, 'the list')
    })
  })
}
