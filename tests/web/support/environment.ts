/** A variable that `python -m tests.web` sets. */
export function environment(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: these tests are run by \`make test-web\`.`)
  return value
}
