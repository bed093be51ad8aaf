// node validate.mjs <5|6|7> < messages.json
//
// Prints {"error"}: what the SDK objects to in a list of messages that a page would begin with.

import { describeError, loadSdk, readStdin } from './sdk.mjs';

const { validateUIMessages } = await loadSdk(process.argv[2]);
const messages = JSON.parse(await readStdin());

let error = null;
try {
  await validateUIMessages({ messages });
} catch (failure) {
  error = describeError(failure);
}
console.log(JSON.stringify({ error }));
