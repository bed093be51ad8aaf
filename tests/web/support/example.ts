import type { Locator, Page } from '@playwright/test'

import type { Chat } from './chat.ts'
import { tokenOf, type User } from './users.ts'

/** examples/nextjs */
export class Example implements Chat {
  readonly field: Locator
  readonly sendButton: Locator
  readonly stopButton: Locator
  readonly newChatButton: Locator
  readonly questions: Locator
  readonly answers: Locator
  readonly notice: Locator
  readonly conversations: Locator
  readonly sessionNotice: Locator
  readonly menuButton: Locator
  readonly side: Locator

  constructor(readonly page: Page) {
    this.field = page.getByRole('textbox', { name: 'Message', exact: true })
    this.sendButton = page.getByRole('button', { name: 'Send', exact: true })
    this.stopButton = page.getByRole('button', { name: 'Stop', exact: true })
    this.newChatButton = page.getByRole('button', { name: 'New chat' })
    this.questions = page.getByRole('article', { name: 'Your message' })
    this.answers = page.getByRole('article', { name: 'Answer' })
    this.notice = page.locator('.page .notice')
    this.conversations = page.getByRole('navigation', { name: 'Conversations' }).getByRole('link')
    this.sessionNotice = page.locator('.notice.banner')
    this.menuButton = page.getByRole('button', { name: /^(Menu|Close)$/ })
    this.side = page.locator('#side')
  }

  async become(user: User, token = tokenOf(user)): Promise<void> {
    const session = { token, user: { ...user, name: null }, expires_at: new Date().toISOString() }
    const keep = (text: string) => localStorage.setItem('parley.session', text)
    await this.page.evaluate(keep, JSON.stringify(session))
    await this.page.reload()
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.page.getByRole('button', { name: /^Sign in/ }).first().click()
    await this.submitAccount(email, password, 'Sign in')
  }

  async register(email: string, password: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Sign in' }).click()
    await this.page.getByRole('button', { name: 'I have no account yet' }).click()
    await this.submitAccount(email, password, 'Make account')
  }

  async signOut(): Promise<void> {
    await this.page.getByRole('button', { name: 'Sign out' }).click()
  }

  async comeBackToAnswer(): Promise<void> {
    await this.notice.getByRole('button', { name: 'Try again' }).click()
  }

  async markMistake(answer: Locator, note: string): Promise<void> {
    await answer.getByRole('button', { name: 'Mark as a mistake' }).click()
    const dialog = this.page.getByRole('dialog', { name: 'Is this answer wrong?' })
    await dialog.getByRole('textbox').fill(note)
    await dialog.getByRole('button', { name: 'Mark as a mistake' }).click()
  }

  markOf(answer: Locator): Locator {
    return answer.getByRole('button', { name: 'Marked as a mistake' })
  }

  private async submitAccount(email: string, password: string, button: string): Promise<void> {
    const dialog = this.page.getByRole('dialog')
    await dialog.getByRole('textbox', { name: 'E-mail' }).fill(email)
    await dialog.getByRole('textbox', { name: 'Password' }).fill(password)
    await dialog.getByRole('button', { name: button, exact: true }).click()
  }
}
