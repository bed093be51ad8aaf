// node page.mjs < plan.json
//
// Plays a plan on a real React page: `useChat` of version 7 as README writes it, in strict mode,
// where each effect runs twice.
//
//   {"baseUrl", "chatId", "token", "transport": "default"|"workflow", "steps": [...]}
//
// and what `Network` takes. Steps:
//
//   {"do": "open"}                  reads history and shows the page, which resumes
//   {"do": "send", "text"}          sendMessage
//   {"do": "stop"}                  README's stop
//   {"do": "leave"}                 the page is gone, and its connections with it
//   {"do": "wait", "length"?}       until the last message is an answer of that length or a longer one;
//                                   without it, until the page has nothing to do
//
// Prints {"chatId", "messages", "status", "error", "steps", "requests"}, as chat.mjs does.

import { setTimeout as sleep } from 'node:timers/promises';

import { useChat } from '@ai-sdk/react';
import { WorkflowChatTransport } from '@ai-sdk/workflow/client';
import { DefaultChatTransport } from 'ai';
import { StrictMode, createElement } from 'react';
import { create } from 'react-test-renderer';

import { Network } from './network.mjs';
import { frontendOf } from './readme.mjs';
import { describeError, readStdin } from './sdk.mjs';

const PATIENCE_MS = 20_000;
const plan = JSON.parse(await readStdin());
const network = new Network(plan);
const given = {
  useChat,
  DefaultChatTransport,
  WorkflowChatTransport,
  PARLEY: plan.baseUrl,
  getToken: async () => plan.token,
};
const { useParley, loadHistory } = frontendOf(given, plan.transport);

let chat = null;
let renderer = null;

const Page = ({ history }) => {
  chat = useParley(plan.chatId, history);
  return null;
};

const until = async (isSo) => {
  const giveUpAt = Date.now() + PATIENCE_MS;
  while (!isSo()) {
    if (Date.now() > giveUpAt) throw new Error(`waited in vain: ${JSON.stringify(stateNow())}`);
    await sleep(5);
  }
};

const textOf = (message) => message.parts.map((part) => part.text ?? '').join('');

const answerNow = () => {
  const last = chat.messages.at(-1);
  return last?.role === 'assistant' ? textOf(last) : '';
};

const actions = {
  open: async () => {
    const history = await loadHistory(plan.chatId);
    const page = createElement(Page, { history });
    const count = network.requests.length;
    renderer = create(createElement(StrictMode, null, page));
    // What it asks first is whether there is something to resume.
    await until(() => network.requests.length > count);
  },
  send: async ({ text }) => {
    const count = chat.messages.length;
    void chat.sendMessage({ text });
    await until(() => chat.messages.length > count && chat.status !== 'ready');
  },
  stop: () => chat.stop(),
  leave: () => {
    network.leave();
    renderer.unmount();
  },
  wait: ({ length }) =>
    length === undefined
      ? until(() => ['ready', 'error'].includes(chat.status) && !network.pending)
      : until(() => answerNow().length >= length),
};

const stateNow = () => ({
  messages: chat.messages,
  status: chat.status,
  error: describeError(chat.error) ?? null,
});

const steps = [];
for (const step of plan.steps) {
  await actions[step.do](step);
  steps.push(chat && stateNow());
}
const { requests } = network;
console.log(JSON.stringify({ chatId: plan.chatId, ...stateNow(), steps, requests }));
process.exit();
