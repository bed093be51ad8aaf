/** The user's tasks, which the assistant can work on too. */

import type { NewTask, Task, TaskChange, TaskPage } from './api-types'
import { query, request } from './api'
import { createSignal } from './signal'

/** Emitted after each change, for the lists. */
export const tasksChanged = createSignal()

export function listTasks(completed: boolean, cursor: string | null): Promise<TaskPage> {
  return request(`/api/tasks${query({ completed: String(completed), cursor })}`)
}

export function addTask(task: NewTask): Promise<Task> {
  return request('/api/tasks', { method: 'POST', body: task })
}

export function changeTask(id: number, change: TaskChange): Promise<Task> {
  return request(`/api/tasks${query({ id })}`, { method: 'PATCH', body: change })
}

export function deleteTask(id: number): Promise<null> {
  return request(`/api/tasks${query({ id })}`, { method: 'DELETE' })
}
