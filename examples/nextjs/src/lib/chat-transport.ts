/** How `useChat` reaches Parley. */

import { DefaultChatTransport } from 'ai'

import type { Message } from './api-types'
import { API_URL, checkedFetch } from './api'
import { keyHeader } from './guest-keys'
import { authorization } from './session'

type Resume = Parameters<DefaultChatTransport<Message>['reconnectToStream']>[0]

/** What a request asks for, beside its message. */
export type Choice = { model?: string; reasoning_effort?: string }

/** For a page that has loaded this history. */
export class ChatTransport extends DefaultChatTransport<Message> {
  constructor(
    id: string,
    private readonly history: Message[],
    choice: () => Choice,
  ) {
    super({
      api: `${API_URL}/api/chat`,
      headers: () => ({ ...authorization(), ...keyHeader(id) }),
      // So that `error` is a `Problem`, and not the text of one.
      fetch: checkedFetch,
      // Parley's own history counts: of what a client sends it reads the newest message alone.
      prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
        body: { id, message: messages.at(-1), trigger, messageId, ...choice() },
      }),
    })
  }

  /** Parley sends an answer for a minute after its end, too: history has it, and its mark besides. */
  override async reconnectToStream(options: Resume) {
    const stream = await super.reconnectToStream(options)
    if (!stream) return null
    const [peeked, answer] = stream.tee()
    const reader = peeked.getReader()
    const { value: first } = await reader.read()
    void reader.cancel()
    const id = first?.type === 'start' ? first.messageId : undefined
    if (!this.history.some((each) => each.id === id)) return answer
    void answer.cancel()
    return null
  }
}
