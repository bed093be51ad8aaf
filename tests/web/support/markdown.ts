import { type Chat, send } from './chat.ts'
import { question } from './model.ts'

/** Have the model write a text, as far as its ⏸; return the question, which releases the rest. */
export async function sendForText(chat: Chat, text: string): Promise<string> {
  const asked = `${question('Write')}\n\n${text}`
  await send(chat, asked)
  return asked
}

/** Some of everything that models write. */
export const GUIDE = `# How to make tea

Warm the pot, **then** pour _slowly_, with \`pour()\`.
It is 5 &lt; 6 and ~~7~~.

## Steps

1. Boil the water
2. Wait
   - three minutes for green tea
   - five for black tea

- [x] kettle
- [ ] cup

> No milk, says the book.

| Tea | Minutes | Note |
| --- | ---: | --- |
| Green | 2 | light<br>and fresh |
| Black | 4 | ${'quite a long note about it '.repeat(8)}|

\`\`\`python
def pour(water, pot):
    return "${'a long line of code '.repeat(10)}"  # **not bold**
\`\`\`

---

More is in [the guide](https://example.com/tea?cup=1&pot=2), or ask ada@example.com.`
