import { AxeBuilder } from '@axe-core/playwright'
import { expect, type Page } from '@playwright/test'

/** Where axe looks: what differs by colours, and what differs by layout. */
export const SCREENS = [
  { name: 'light, on a desk', use: { colorScheme: 'light' as const } },
  {
    name: 'dark, on a phone',
    use: { colorScheme: 'dark' as const, viewport: { width: 360, height: 740 }, hasTouch: true },
  },
]

/** That axe finds nothing which keeps people from using the page as it is now. */
export async function expectNoSeriousProblem(page: Page, state: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  const serious = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join('\n')}`)
  expect(serious, state).toEqual([])
}
