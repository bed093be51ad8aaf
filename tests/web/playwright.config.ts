import { defineConfig } from '@playwright/test'

import { environment } from './support/environment.ts'

export default defineConfig({
  testDir: 'specs',
  outputDir: 'node_modules/.results',
  fullyParallel: true,
  forbidOnly: Boolean(process.env.CI),
  workers: 2,
  // Playwright tells a test that passed only in its second try as flaky.
  retries: process.env.CI ? 1 : 0,
  timeout: 60_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    headless: true,
    locale: 'en-GB',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: environment('CHROMIUM'),
      // As root, in a container, there is no other way.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    },
  },
  // What both pages do is written once; `chat` is the one of the project.
  projects: [
    {
      name: 'playground',
      testMatch: ['both/*.spec.ts', 'playground/*.spec.ts'],
      use: { baseURL: environment('PLAYGROUND_URL') },
    },
    {
      name: 'example',
      testMatch: ['both/*.spec.ts', 'example/*.spec.ts'],
      use: { baseURL: environment('EXAMPLE_URL') },
    },
  ],
})
