import { createHash, createHmac, randomUUID } from 'node:crypto'

import { environment } from './environment.ts'

export const PASSWORD = 'correct horse battery staple'

export type User = { id: string; email: string }

export function newUser(): User {
  const name = `ada-${randomUUID().slice(0, 8)}`
  return { id: name, email: `${name}@example.com` }
}

/** A token as Parley takes it (HS256); it ends in so many seconds, or has ended that long ago. */
export function tokenOf(user: User, seconds = 3600): string {
  const exp = Math.floor(Date.now() / 1000) + seconds
  const content = [{ alg: 'HS256', typ: 'JWT' }, { sub: user.id, email: user.email, exp }]
    .map((each) => Buffer.from(JSON.stringify(each)).toString('base64url'))
    .join('.')
  const signature = createHmac('sha256', environment('JWT_SECRET')).update(content)
  return `${content}.${signature.digest('base64url')}`
}

/** Register an account of Parley's own, and return its user. */
export async function registered(): Promise<User> {
  const { email } = newUser()
  await account({ action: 'register', email, password: PASSWORD })
  const response = await account({ action: 'login', email, password: PASSWORD })
  return ((await response.json()) as { user: User }).user
}

function addressOf(email: string): string {
  const [first, second, third] = createHash('sha256').update(email).digest()
  return `10.${first}.${second}.${third}`
}

async function account(body: { action: string; email: string; password: string }): Promise<Response> {
  const response = await fetch(`${environment('PLAYGROUND_URL')}/api/auth`, {
    method: 'POST',
    // Each from a network of its own: one network may register few accounts a day.
    headers: { 'content-type': 'application/json', 'x-forwarded-for': addressOf(body.email) },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(await response.text())
  return response
}
