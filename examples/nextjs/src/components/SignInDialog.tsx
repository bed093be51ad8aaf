'use client'

import { type FormEvent, useState } from 'react'

import { signIn } from '@/lib/accounts'
import type { Credentials } from '@/lib/api-types'
import { wordsFor } from '@/lib/problem'
import { Dialog } from './Dialog'

/** Sign in with an account of Parley's own, or make one. */
export function SignInDialog({ onClose }: { onClose: () => void }) {
  const [action, setAction] = useState<Credentials['action']>('login')
  const [isBusy, setIsBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const isNew = action === 'register'

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault()
    const given = new FormData(event.currentTarget)
    const [email, password] = [String(given.get('email')), String(given.get('password'))]
    setIsBusy(true)
    setProblem('')
    try {
      await signIn({ action, email, password })
      onClose()
    } catch (error) {
      setProblem(wordsFor(error))
      setIsBusy(false)
    }
  }

  return (
    <Dialog title={isNew ? 'Make an account' : 'Sign in'} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <p className="quiet">What you said as a guest in this browser becomes yours.</p>
        <label>
          E-mail
          <input name="email" type="email" autoComplete="username" required />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autoComplete={isNew ? 'new-password' : 'current-password'}
            required
          />
        </label>
        <p className="problem" role="alert">
          {problem}
        </p>
        <div className="row">
          <button type="submit" className="main" disabled={isBusy}>
            {isNew ? 'Make account' : 'Sign in'}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
        <button type="button" className="link" onClick={() => setAction(isNew ? 'login' : 'register')}>
          {isNew ? 'I have an account' : 'I have no account yet'}
        </button>
      </form>
    </Dialog>
  )
}
