'use client'

import { useCallback, useEffect, useState } from 'react'

import type { Task } from '@/lib/api-types'
import { wordsFor } from '@/lib/problem'
import { session } from '@/lib/session'
import { changeTask, deleteTask, listTasks, tasksChanged } from '@/lib/tasks'
import { usePages } from '@/lib/use-pages'
import { TaskItem } from './TaskItem'

type Props = { title: string; completed: boolean }

/** Those that are done, or those that are not. */
export function TaskList({ title, completed }: Props) {
  const [problem, setProblem] = useState('')
  const token = session.use()?.token
  const load = useCallback(
    async (cursor: string | null) => {
      const page = await listTasks(completed, cursor)
      return { items: page.tasks, next_cursor: page.next_cursor }
    },
    // Anew for who has signed in again.
    [completed, token],
  )
  const { items, isLoading, error, reload, loadMore } = usePages<Task>(load)
  useEffect(() => tasksChanged.subscribe(reload), [reload])

  async function change(changing: Promise<unknown>): Promise<void> {
    try {
      await changing
      setProblem('')
    } catch (failure) {
      setProblem(wordsFor(failure))
    }
    tasksChanged.emit()
  }

  const note = isLoading ? 'Loading …' : items.length || error ? '' : 'None.'
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <ul>
        {items.map((task) => (
          <TaskItem
            key={task.id}
            task={task}
            onToggle={() => change(changeTask(task.id, { completed: !task.completed }))}
            onDelete={() => change(deleteTask(task.id))}
          />
        ))}
      </ul>
      {note && <p className="quiet">{note}</p>}
      <p className="problem" role="alert">
        {error ? wordsFor(error) : problem}
      </p>
      {loadMore && (
        <button type="button" onClick={loadMore}>
          Show more
        </button>
      )}
    </section>
  )
}
