import type { Locator, Page } from '@playwright/test'

import type { User } from './users.ts'

/** What a person sees and does, on either page. */
export interface Chat {
  readonly page: Page
  readonly field: Locator
  readonly sendButton: Locator
  readonly stopButton: Locator
  readonly newChatButton: Locator
  /** Each with its text, oldest first. */
  readonly questions: Locator
  readonly answers: Locator
  /** Says what went wrong, with a button where something can be done about it. */
  readonly notice: Locator
  /** The links of the list. */
  readonly conversations: Locator
  /** Says that the session has ended, and asks to sign in. */
  readonly sessionNotice: Locator
  /** The token is kept where the page itself keeps it; without one it is a good one. */
  become(user: User, token?: string): Promise<void>
  /** By address and password. */
  signIn(email: string, password: string): Promise<void>
  register(email: string, password: string): Promise<void>
  signOut(): Promise<void>
  /** After the line was cut: what a person has to do to see the rest. */
  comeBackToAnswer(): Promise<void>
  markMistake(answer: Locator, note: string): Promise<void>
  /** Where the mark is seen. */
  markOf(answer: Locator): Locator
  /** On a narrow screen conversations and account are behind a button. */
  readonly menuButton: Locator
  readonly side: Locator
}

/** Send a message, and wait until its answer has ended. */
export async function ask(chat: Chat, text: string): Promise<void> {
  await send(chat, text)
  await chat.answers.last().filter({ hasText: text }).waitFor()
  await chat.sendButton.waitFor()
}

/** Send a message. */
export async function send(chat: Chat, text: string): Promise<void> {
  await chat.field.fill(text)
  await chat.sendButton.click()
}

/** On a narrow screen: show conversations and account. */
export async function openSide(chat: Chat): Promise<void> {
  if (await chat.menuButton.isVisible()) await chat.menuButton.click()
  await chat.side.waitFor()
}
