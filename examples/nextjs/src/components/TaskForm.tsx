'use client'

import { type FormEvent, useState } from 'react'

import { wordsFor } from '@/lib/problem'
import { addTask, tasksChanged } from '@/lib/tasks'

export function TaskForm() {
  const [problem, setProblem] = useState('')

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault()
    const form = event.currentTarget
    try {
      await addTask({ title: String(new FormData(form).get('title')) })
      form.reset()
      setProblem('')
      tasksChanged.emit()
    } catch (error) {
      setProblem(wordsFor(error))
    }
  }

  return (
    <form onSubmit={submit}>
      <div className="row">
        <input name="title" aria-label="New task" placeholder="New task" maxLength={200} required />
        <button type="submit" className="main">
          Add
        </button>
      </div>
      <p className="problem" role="alert">
        {problem}
      </p>
    </form>
  )
}
