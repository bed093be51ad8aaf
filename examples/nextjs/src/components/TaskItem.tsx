import type { Task } from '@/lib/api-types'

type Props = { task: Task; onToggle: () => void; onDelete: () => void }

export function TaskItem({ task, onToggle, onDelete }: Props) {
  return (
    <li>
      <label>
        <input type="checkbox" checked={task.completed} onChange={onToggle} />
        <span>
          {task.title}
          {task.description && <small className="quiet">{task.description}</small>}
        </span>
      </label>
      <button type="button" className="link" aria-label={`Delete ${task.title}`} onClick={onDelete}>
        Delete
      </button>
    </li>
  )
}
