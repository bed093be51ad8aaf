'use client'

import { session } from '@/lib/session'
import { TaskForm } from './TaskForm'
import { TaskList } from './TaskList'

/** The user's tasks. In a chat the assistant works on the same ones. */
export function Tasks() {
  const user = session.use()
  return (
    <div className="tasks">
      <h1>Tasks</h1>
      {user ? (
        <>
          <p className="quiet">The assistant works on them too: ask it to add, change or finish one.</p>
          <TaskForm />
          <TaskList title="To do" completed={false} />
          <TaskList title="Done" completed={true} />
        </>
      ) : (
        <p>Sign in to have tasks.</p>
      )}
    </div>
  )
}
