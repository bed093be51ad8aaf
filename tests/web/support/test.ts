import { test as base, expect, type Page } from '@playwright/test'

import type { Chat } from './chat.ts'
import { Example } from './example.ts'
import { Network } from './network.ts'
import { Playground } from './playground.ts'

type Fixtures = {
  network: Network
  /** The page of the project, in a browser that knows nothing yet. */
  chat: Chat
  /** What the page has thrown, or its policy forbade: each test fails by it. */
  mistakes: string[]
}

export const test = base.extend<Fixtures>({
  network: async ({}, use) => {
    const network = await Network.start()
    await use(network)
    await network.stop()
  },
  // By itself the browser takes no proxy for this machine.
  proxy: async ({ network }, use) => use({ server: network.url, bypass: '<-loopback>' }),
  mistakes: [
    async ({ context }, use) => {
      const mistakes: string[] = []
      context.on('weberror', (error) => mistakes.push(error.error().message))
      context.on('console', (message) => {
        // What a request comes to is the page's to tell, and each test's to look at.
        const isAboutRequest = message.text().startsWith('Failed to load resource')
        if (message.type() === 'error' && !isAboutRequest) mistakes.push(message.text())
      })
      await use(mistakes)
      expect(mistakes).toEqual([])
    },
    { auto: true },
  ],
  chat: async ({ page }, use, testInfo) => {
    const chat = chatOn(page, testInfo.project.name)
    await page.goto('/')
    await chat.field.waitFor()
    await use(chat)
  },
})

/** The same page in another tab, at the same address. */
export async function secondTab(chat: Chat): Promise<Chat> {
  const page = await chat.page.context().newPage()
  await page.goto(chat.page.url())
  return chat instanceof Playground ? new Playground(page) : new Example(page)
}

function chatOn(page: Page, project: string): Chat {
  return project === 'playground' ? new Playground(page) : new Example(page)
}

export { expect }
