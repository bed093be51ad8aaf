/** How `useChat` reaches Parley. */

import { DefaultChatTransport } from 'ai'

import type { Message } from './api-types'
import { API_URL, checkedFetch } from './api'
import { authorization } from './session'

export const chatTransport = new DefaultChatTransport<Message>({
  api: `${API_URL}/api/chat`,
  headers: () => authorization(),
  // So that `error` is a `Problem`, and not the text of one.
  fetch: checkedFetch,
  // Parley's own history counts: of what a client sends it reads the newest message alone.
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
    body: { id, message: messages.at(-1), trigger, messageId },
  }),
})
