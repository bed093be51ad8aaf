import { send } from '../../support/chat.ts'
import { question, release } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a thought is open while the model thinks, and closed after it (${colorScheme})`, async ({ chat }, info) => {
    await chat.page.emulateMedia({ colorScheme })
    const asked = question('Answer with thought')
    await send(chat, asked)
    const thought = chat.answers.locator('details.thought')
    await expect(thought.locator('summary')).toHaveText('Thinking …')
    await expect(thought.getByText('First, let me think about it.')).toBeVisible()
    await chat.page.screenshot({ path: info.outputPath('thinking.png') })

    await release(asked)

    await expect(chat.answers).toContainText('It is so.')
    await expect(thought.locator('summary')).toHaveText(/^Thought for \d+ s$/)
    await expect(thought.getByText('First, let me think about it.')).toBeHidden()
    await chat.page.reload()
    await expect(thought.locator('summary')).toHaveText('Thought')
    await thought.locator('summary').click()
    await expect(thought.getByText('First, let me think about it.')).toBeVisible()
    await chat.page.screenshot({ path: info.outputPath('thought.png') })
  })
}
