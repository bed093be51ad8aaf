// node chat.mjs < plan.json
//
// Plays a plan with the chat that useChat uses, in its default settings, against a server:
//
//   {"version": 5|6|7, "baseUrl": "http://127.0.0.1:3000", "chatId"?: "...", "messages"?: [...],
//    "headers"?: {...}, "steps": [...]}
//
// and what `Network` takes. Steps; a message is named by its id, or by its place (0 the first, -1
// the last):
//
//   {"do": "send", "text"?, "messageId"?}       sendMessage; messageId: an id for the new message
//   {"do": "edit", "message": ..., "text"}      sendMessage with messageId
//   {"do": "regenerate", "message"?: ...}       regenerate
//   {"do": "resume"}                            resumeStream
//   {"do": "reload"}                            a new page: it reads history, then resumes
//   {"do": "wait", "milliseconds"}
//
// Each but the last may carry "after": n and "then", what happens when n deltas have arrived: "stop"
// calls stop(), "delete" that and the DELETE beside it, "leave" leaves the page, which a reload is
// to follow.
//
// Prints {"chatId", "messages", "status", "error", "steps", "requests", "data", "finishes"}: "steps"
// is the state after each, "requests" what was sent and answered, "data" what onData was told,
// "finishes" what onFinish was.

import { setTimeout as sleep } from 'node:timers/promises';

import { Network } from './network.mjs';
import { ChatState, describeError, loadSdk, readStdin } from './sdk.mjs';

const plan = JSON.parse(await readStdin());
const { AbstractChat, DefaultChatTransport } = await loadSdk(plan.version);

const network = new Network(plan);
const headers = plan.headers ?? {};
const data = [];
const finishes = [];
let watch = null;

const openPage = (id, messages) =>
  new (class extends AbstractChat {})({
    ...(id && { id }),
    transport: new DefaultChatTransport({ api: `${plan.baseUrl}/api/chat`, headers }),
    state: new ChatState(messages, (message) => watch?.see(message)),
    onData: (part) => data.push(part),
    onFinish: ({ message, messages, ...how }) => finishes.push({ messageId: message.id, ...how }),
  });

let chat = openPage(plan.chatId, plan.messages ?? []);

const tellServer = () =>
  fetch(`${plan.baseUrl}/api/chat/${chat.id}/stream`, { method: 'DELETE', headers });

const reactions = {
  stop: () => chat.stop(),
  delete: () => Promise.all([chat.stop(), tellServer()]),
  leave: () => network.leave(),
};

const textOf = (message) => message.parts.map((part) => part.text ?? '').join('');

// Does something once the answer has grown so many times.
class Watch {
  length = 0;

  constructor({ after, then }) {
    this.remaining = after;
    this.react = reactions[then];
    this.reacted = new Promise((resolve) => (this.resolve = resolve));
  }

  see(message) {
    const { length } = textOf(message);
    if (message.role !== 'assistant' || length <= this.length) return;
    this.length = length;
    this.remaining -= 1;
    if (this.remaining === 0) this.resolve(this.react());
  }
}

const idOf = (message) => (typeof message === 'number' ? chat.messages.at(message).id : message);

const send = ({ text, messageId }) => {
  if (text === undefined) return chat.sendMessage();
  if (messageId === undefined) return chat.sendMessage({ text });
  return chat.sendMessage({ id: messageId, role: 'user', parts: [{ type: 'text', text }] });
};

const reload = async () => {
  const response = await fetch(`${plan.baseUrl}/api/history?conversation_id=${chat.id}`, { headers });
  chat = openPage(chat.id, response.ok ? (await response.json()).messages : []);
  await chat.resumeStream();
};

const actions = {
  send,
  edit: ({ message, text }) => chat.sendMessage({ text, messageId: idOf(message) }),
  regenerate: ({ message }) =>
    message === undefined ? chat.regenerate() : chat.regenerate({ messageId: idOf(message) }),
  resume: () => chat.resumeStream(),
  reload,
  wait: ({ milliseconds }) => sleep(milliseconds),
};

const stateNow = () => ({
  messages: chat.messages,
  status: chat.status,
  error: describeError(chat.error) ?? null,
});

const steps = [];
for (const step of plan.steps) {
  watch = step.after ? new Watch(step) : null;
  await actions[step.do](step);
  await watch?.reacted;
  steps.push(stateNow());
}
const { requests } = network;
console.log(JSON.stringify({ chatId: chat.id, ...stateNow(), steps, requests, data, finishes }));
