// node read_streams.mjs
//
// Reads lines {"streams": ["data: ...", ...], "messages": [...]} until standard input ends, and
// answers each with a line {"5": ..., "6": ..., "7": ...}: what that version makes of them,
// {"read": [{"message", "error"}, ...], "error"}. "read" has an element for each stream: the
// UIMessage that it is read to, and the SDK's objection to it. "error" is the objection to the
// messages, such as those of GET /api/history, which a page begins with.
//
// One process reads any number of streams, because its start takes longer than a thousand of them.

import { createInterface } from 'node:readline';

import { describeError, loadSdk } from './sdk.mjs';

const reader = async (version) => {
  const { DefaultChatTransport, readUIMessageStream, validateUIMessages } = await loadSdk(version);

  class Transport extends DefaultChatTransport {
    parse = (text) => this.processResponseStream(new Blob([text]).stream());
  }

  const read = async (text) => {
    let message = null;
    let error = null;
    const onError = (failure) => (error ??= failure);
    try {
      const stream = new Transport().parse(text);
      for await (message of readUIMessageStream({ stream, onError, terminateOnError: true }));
    } catch (failure) {
      error ??= failure;
    }
    return { message, error: describeError(error) };
  };

  const objection = async (messages) => {
    try {
      if (messages.length) await validateUIMessages({ messages });
      return null;
    } catch (failure) {
      return describeError(failure);
    }
  };

  return async ({ streams, messages }) => ({
    read: await Promise.all(streams.map(read)),
    error: await objection(messages),
  });
};

const readers = await Promise.all([5, 6, 7].map(async (version) => [version, await reader(version)]));
for await (const line of createInterface({ input: process.stdin })) {
  const work = JSON.parse(line);
  const results = readers.map(async ([version, read]) => [version, await read(work)]);
  console.log(JSON.stringify(Object.fromEntries(await Promise.all(results))));
}
