import { createHmac, randomUUID } from 'node:crypto'

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

/** Register an account of Parley's own. */
export async function registered(): Promise<User> {
  const { email } = newUser()
  const response = await fetch(`${environment('PLAYGROUND_URL')}/api/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ action: 'register', email, password: PASSWORD }),
  })
  if (!response.ok) throw new Error(await response.text())
  return ((await response.json()) as { user: User }).user
}
