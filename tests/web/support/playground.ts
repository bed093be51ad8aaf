import type { Locator, Page } from '@playwright/test'

import type { Chat } from './chat.ts'
import { tokenOf, type User } from './users.ts'

/** public/index.html */
export class Playground implements Chat {
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
    this.field = page.getByRole('textbox', { name: 'Message' })
    this.sendButton = page.getByRole('button', { name: 'Send', exact: true })
    this.stopButton = page.getByRole('button', { name: 'Stop', exact: true })
    this.newChatButton = page.getByRole('button', { name: 'New chat' })
    this.questions = page.locator('article[data-role=user]')
    this.answers = page.locator('article[data-role=assistant]')
    this.notice = page.locator('.notice:visible')
    this.conversations = page.getByRole('navigation').getByRole('link')
    this.sessionNotice = page.locator('#token-note')
    this.menuButton = page.getByRole('button', { name: 'Menu' })
    this.side = page.locator('#side')
  }

  async become(user: User, token = tokenOf(user)): Promise<void> {
    await this.page.getByRole('textbox', { name: 'Access token' }).fill(token)
    await this.page.getByRole('button', { name: 'Use this token' }).click()
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.submitAccount(email, password, 'Log in')
  }

  async register(email: string, password: string): Promise<void> {
    await this.submitAccount(email, password, 'Register')
  }

  async signOut(): Promise<void> {
    await this.page.getByRole('button', { name: 'Sign out' }).click()
  }

  async comeBackToAnswer(): Promise<void> {
    // Nothing: it does that by itself.
  }

  async markMistake(answer: Locator, note: string): Promise<void> {
    await answer.getByText('Mark as a mistake').click()
    await answer.getByRole('textbox', { name: 'What is wrong' }).fill(note)
    await answer.getByRole('button', { name: 'Mark', exact: true }).click()
  }

  markOf(answer: Locator): Locator {
    return answer.getByText('Marked as a mistake')
  }

  private async submitAccount(email: string, password: string, button: string): Promise<void> {
    await this.page.getByText('Log in or register').click()
    await this.page.getByRole('textbox', { name: 'E-mail' }).fill(email)
    await this.page.getByRole('textbox', { name: 'Password' }).fill(password)
    await this.page.getByRole('button', { name: button, exact: true }).click()
  }
}
