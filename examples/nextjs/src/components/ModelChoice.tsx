'use client'

import type { Model } from '@/lib/api-types'

type Props = {
  models: Model[]
  model: Model | undefined
  onModel: (name: string) => void
  effort: string
  onEffort: (effort: string) => void
}

/** Which model answers next, and how much it thinks; nothing where there is no choice. */
export function ModelChoice({ models, model, onModel, effort, onEffort }: Props) {
  if (!model || (models.length < 2 && model.reasoning_efforts.length === 0)) return null
  return (
    <div className="model-choice">
      {models.length > 1 && (
        <select aria-label="Model" value={model.name} onChange={(event) => onModel(event.target.value)}>
          {models.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      )}
      {model.reasoning_efforts.length > 0 && (
        <select aria-label="Effort" value={effort} onChange={(event) => onEffort(event.target.value)}>
          <option value="">Usual effort</option>
          {model.reasoning_efforts.map((each) => (
            <option key={each} value={each}>
              {`Effort: ${each}`}
            </option>
          ))}
        </select>
      )}
      {model.stand_in && <p className="quiet">{`If it does not respond, ${model.stand_in} answers.`}</p>}
    </div>
  )
}
