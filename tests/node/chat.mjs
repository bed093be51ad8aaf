// node chat.mjs < plan.json
//
// Plays a plan with the chat that useChat uses, in its default settings, against a server:
//
//   {"version": 5|6|7, "baseUrl": "http://127.0.0.1:3000", "chatId"?: "...", "messages"?: [...],
//    "headers"?: {...}, "steps": [...]}
//
// Steps; a message is named by its id, or by its place (0 the first, -1 the last):
//
//   {"do": "send", "text"?, "messageId"?}       sendMessage; messageId: an id for the new message
//   {"do": "edit", "message": ..., "text"}      sendMessage with messageId
//   {"do": "regenerate", "message"?: ...}       regenerate
//   {"do": "resume"}                            resumeStream
//   {"do": "wait", "milliseconds"}
//
// Each of the first four may carry "stopAfter": n, which calls stop() when n deltas have arrived.
//
// Prints {"chatId", "messages", "status", "error", "steps", "requests", "data", "finishes"}: "steps"
// is the state after each, "requests" what was sent and answered, "data" what onData was told,
// "finishes" what onFinish was.

import { setTimeout as sleep } from 'node:timers/promises';

import { ChatState, describeError, loadSdk, readStdin } from './sdk.mjs';

const plan = JSON.parse(await readStdin());
const { AbstractChat, DefaultChatTransport } = await loadSdk(plan.version);

// A connection that breaks during an answer: node says "terminated" where Chrome says "network
// error", and it is by such words that the SDK knows it from other errors.
const inBrowsersWords = (response) => {
  if (!response.body) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        const isBroken = error instanceof TypeError;
        controller.error(isBroken ? new TypeError('network error', { cause: error }) : error);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
};

const requests = [];
const realFetch = globalThis.fetch;
globalThis.fetch = async (url, init = {}) => {
  const request = {
    method: init.method ?? 'GET',
    url: String(url),
    headers: Object.fromEntries(new Headers(init.headers)),
    body: init.body ? JSON.parse(init.body) : null,
    status: null,
    responseHeaders: null,
  };
  requests.push(request);
  const response = await realFetch(url, init);
  request.status = response.status;
  request.responseHeaders = Object.fromEntries(response.headers);
  return inBrowsersWords(response);
};

const textOf = (message) => message.parts.map((part) => part.text ?? '').join('');

// Calls stop() once the answer has grown `remaining` times.
class Stopper {
  length = 0;

  constructor(remaining) {
    this.remaining = remaining;
  }

  see(message) {
    const { length } = textOf(message);
    if (message.role !== 'assistant' || length <= this.length) return;
    this.length = length;
    this.remaining -= 1;
    if (this.remaining === 0) this.stopped = chat.stop();
  }
}

const data = [];
const finishes = [];
let stopper = null;
const chat = new (class extends AbstractChat {})({
  ...(plan.chatId && { id: plan.chatId }),
  transport: new DefaultChatTransport({
    api: `${plan.baseUrl}/api/chat`,
    ...(plan.headers && { headers: plan.headers }),
  }),
  state: new ChatState(plan.messages ?? [], (message) => stopper?.see(message)),
  onData: (part) => data.push(part),
  onFinish: ({ message, messages, ...how }) => finishes.push({ messageId: message.id, ...how }),
});

const idOf = (message) => (typeof message === 'number' ? chat.messages.at(message).id : message);

const send = ({ text, messageId }) => {
  if (text === undefined) return chat.sendMessage();
  if (messageId === undefined) return chat.sendMessage({ text });
  return chat.sendMessage({ id: messageId, role: 'user', parts: [{ type: 'text', text }] });
};

const actions = {
  send,
  edit: ({ message, text }) => chat.sendMessage({ text, messageId: idOf(message) }),
  regenerate: ({ message }) =>
    message === undefined ? chat.regenerate() : chat.regenerate({ messageId: idOf(message) }),
  resume: () => chat.resumeStream(),
  wait: ({ milliseconds }) => sleep(milliseconds),
};

const stateNow = () => ({
  messages: chat.messages,
  status: chat.status,
  error: describeError(chat.error) ?? null,
});

const steps = [];
for (const step of plan.steps) {
  stopper = step.stopAfter ? new Stopper(step.stopAfter) : null;
  await actions[step.do](step);
  await stopper?.stopped;
  steps.push(stateNow());
}
console.log(JSON.stringify({ chatId: chat.id, ...stateNow(), steps, requests, data, finishes }));
