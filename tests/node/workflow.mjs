// node workflow.mjs < plan.json
//
// Reads streams with the bare transport of @ai-sdk/workflow, its own fetch included, to the end that
// it finds:
//
//   {"baseUrl", "chatId", "calls": [{"do": "send", "text"} | {"do": "reconnect", "startIndex"}]}
//
// and what `Network` takes. Prints {"calls": [{"types", "text", "error"}], "requests"}: the types of
// the parts that came, the text in them, and what ended it.

import { WorkflowChatTransport } from '@ai-sdk/workflow/client';

import { Network } from './network.mjs';
import { describeError, readStdin } from './sdk.mjs';

const plan = JSON.parse(await readStdin());
const network = new Network(plan);
const transport = new WorkflowChatTransport({
  api: `${plan.baseUrl}/api/chat`,
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
    headers: { 'content-type': 'application/json' },
    body: { id, messages, trigger, messageId },
  }),
});

const { chatId } = plan;
const actions = {
  send: ({ text }) => {
    const message = { id: crypto.randomUUID(), role: 'user', parts: [{ type: 'text', text }] };
    return transport.sendMessages({ chatId, messages: [message], trigger: 'submit-message' });
  },
  reconnect: ({ startIndex }) => transport.reconnectToStream({ chatId, startIndex }),
};

const calls = [];
for (const call of plan.calls) {
  const parts = [];
  let error = null;
  try {
    for await (const part of await actions[call.do](call)) parts.push(part);
  } catch (failure) {
    error = describeError(failure);
  }
  const text = parts.map((part) => (part.type === 'text-delta' ? part.delta : '')).join('');
  calls.push({ types: parts.map(({ type }) => type), text, error });
}
console.log(JSON.stringify({ calls, requests: network.requests }));
