// node read_stream.mjs <5|6|7> [path or URL of a stream's raw bytes; standard input without it]
//
// Prints {"message", "error"}: the UIMessage that the SDK rebuilds, and what it objected to.
// The bytes go through the transport that useChat uses, so its strict schema judges every part.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';

import { describeError, loadSdk } from './sdk.mjs';

const [version, source] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await loadSdk(version);

const open = async () => {
  if (source?.startsWith('http')) return (await fetch(source)).body;
  return Readable.toWeb(source ? createReadStream(source) : process.stdin);
};

class Transport extends DefaultChatTransport {
  parse = (bytes) => this.processResponseStream(bytes);
}

let message = null;
let error = null;
try {
  const stream = new Transport().parse(await open());
  const onError = (failure) => (error ??= failure);
  for await (message of readUIMessageStream({ stream, onError, terminateOnError: true }));
} catch (failure) {
  error ??= failure;
}
console.log(JSON.stringify({ message, error: describeError(error) }));
