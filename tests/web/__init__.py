"""The two pages in a real browser: the playground and the example in Next.js."""
