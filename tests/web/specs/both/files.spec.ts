import { ask } from '../../support/chat.ts'
import { question } from '../../support/model.ts'
import { expect, test } from '../../support/test.ts'
import { newUser } from '../../support/users.ts'

const PIXEL = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64')
const NOTES = { name: 'notes.md', mimeType: '', buffer: Buffer.from('# Plums') }
const REPORT = { name: 'report.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4') }
const PICTURE = { name: 'pixel.gif', mimeType: 'image/gif', buffer: PIXEL }
const ARCHIVE = { name: 'all.zip', mimeType: 'application/zip', buffer: Buffer.from('PK') }

test('files of a message reach the model, and stay with the message', async ({ chat }) => {
  await chat.become(newUser())
  const asked = question('What are these')
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([NOTES, REPORT, PICTURE])
  const chips = chat.page.getByRole('list', { name: 'Files of your message' })
  await expect(chips.getByRole('listitem')).toHaveCount(3)

  await ask(chat, asked)

  await expect(chips).toHaveCount(0)
  await expect(chat.answers).toContainText('# Plums')
  await expect(chat.answers).toContainText('file image_url')
  for (let again = 0; again < 2; again += 1) {
    await expect(chat.questions).toContainText('notes.md')
    await expect(chat.questions).toContainText('report.pdf')
    const picture = chat.questions.getByRole('img', { name: 'pixel.gif' })
    await expect(picture).toHaveJSProperty('naturalWidth', 1)
    await chat.page.reload()
  }
})

test('a file alone is a message, and one that was removed is not sent', async ({ chat }) => {
  await chat.become(newUser())
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([NOTES, REPORT])
  await chat.page.getByRole('button', { name: 'Remove report.pdf' }).click()

  await chat.sendButton.click()

  await expect(chat.answers).toContainText('# Plums')
  await expect(chat.answers).not.toContainText('file image_url')
  await expect(chat.questions).not.toContainText('report.pdf')
})

test('a message with a file that is refused comes back with its files', async ({ chat }) => {
  await chat.become(newUser())
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([NOTES, ARCHIVE])
  await chat.field.fill('What is in here?')

  await chat.sendButton.click()

  await expect(chat.notice).toContainText('all.zip: must be a file that the model reads')
  await expect(chat.questions).toHaveCount(0)
  await expect(chat.field).toHaveValue('What is in here?')
  const chips = chat.page.getByRole('list', { name: 'Files of your message' })
  await expect(chips.getByRole('listitem')).toHaveCount(2)

  await chat.page.getByRole('button', { name: 'Remove all.zip' }).click()
  await chat.sendButton.click()
  await expect(chat.answers).toContainText('# Plums')
})

test('a file of a picture that the model makes is shown, also after a reload', async ({ chat }) => {
  await chat.become(newUser())
  await chat.field.fill(question('Please draw a cat'))
  await chat.sendButton.click()

  for (let again = 0; again < 2; again += 1) {
    await expect(chat.answers).toContainText('Here it is.')
    const picture = chat.answers.getByRole('img')
    await expect(picture).toHaveJSProperty('naturalWidth', 40)
    await chat.page.reload()
  }
})

test('a file too large for one request is uploaded in pieces, and history opens it', async ({ chat }) => {
  await chat.become(newUser())
  const text = 'Plums are ripe.\n'.repeat(400_000)
  const large = { name: 'harvest.txt', mimeType: 'text/plain', buffer: Buffer.from(text) }
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([large])
  const chips = chat.page.getByRole('list', { name: 'Files of your message' })
  await expect(chips.getByRole('listitem')).toHaveCount(1)

  await ask(chat, question('What is ripe'))

  await expect(chat.answers).toContainText('Plums are ripe.')
  await chat.page.reload()
  const download = chat.page.waitForEvent('download')
  await chat.questions.getByRole('link', { name: 'harvest.txt' }).click()
  const opened = await (await download).createReadStream()
  expect((await opened.toArray()).join('')).toBe(text)
})

test('a file that is refused while it is uploaded is a problem in words', async ({ chat }) => {
  await chat.become(newUser())
  const large = { name: 'all.zip', mimeType: 'application/zip', buffer: Buffer.alloc(3_000_000) }

  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([large])

  await expect(chat.notice).toContainText('must be a file that the model reads')
  await expect(chat.sendButton).toBeVisible()
})
