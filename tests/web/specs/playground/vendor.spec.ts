import { readdir, readFile } from 'node:fs/promises'

import { expect, test } from '../../support/test.ts'

const PUBLIC = new URL('../../../../public/vendor/', import.meta.url)
const PACKAGES = new URL('../../node_modules/', import.meta.url)
const MODULES: Record<string, string> = { marked: 'lib/marked.esm.js', remend: 'dist/index.js' }

test('the libraries of the page are those that npm publishes, byte for byte', async () => {
  const expected: string[] = []
  for (const [name, module] of Object.entries(MODULES)) {
    const { version } = JSON.parse(await readFile(new URL(`${name}/package.json`, PACKAGES), 'utf8'))
    expected.push(`${name}-${version}.LICENSE.txt`, `${name}-${version}.js`)
    const published = await readFile(new URL(`${name}/${module}`, PACKAGES))
    expect(published.equals(await readFile(new URL(`${name}-${version}.js`, PUBLIC))), name).toBe(true)
  }
  expect((await readdir(PUBLIC)).sort()).toEqual(expected)
})
