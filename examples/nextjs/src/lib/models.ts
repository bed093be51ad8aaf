/** The models that the caller may choose among. */

import { useEffect, useState } from 'react'

import type { Model, ModelList } from './api-types'
import { request } from './api'
import { session } from './session'

/** The models of this caller; none until they are known, and where Parley does not say. */
export function useModels(): Model[] {
  const [models, setModels] = useState<Model[]>([])
  const token = session.use()?.token
  useEffect(() => {
    let isCurrent = true
    request<ModelList>('/api/models')
      .then((list) => isCurrent && setModels(list.models))
      // Without a list Parley chooses.
      .catch(() => isCurrent && setModels([]))
    return () => {
      isCurrent = false
    }
  }, [token])
  return models
}

/** The model of this name, if the caller may still use it; otherwise the one that answers by itself. */
export function chosenModel(models: Model[], name: string | null): Model | undefined {
  return (
    models.find((model) => model.name === name) ??
    models.find((model) => model.is_default) ??
    models[0]
  )
}
