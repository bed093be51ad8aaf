// The AI SDK by major version, and its chat without React around it.

const PACKAGES = { 5: 'ai5', 6: 'ai6', 7: 'ai' };

export const loadSdk = (version) => import(PACKAGES[version]);

// The messages of a chat as useChat holds them: replaced by copies, never changed in place.
// Only telling React is left out; all that talks to the server is the SDK's own AbstractChat.
export class ChatState {
  status = 'ready';
  error = undefined;

  constructor(messages, onChange) {
    this.messages = messages;
    this.onChange = onChange;
  }

  pushMessage = (message) => {
    this.messages = this.messages.concat(message);
    this.onChange(message);
  };

  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };

  replaceMessage = (index, message) => {
    this.messages = this.messages.with(index, this.snapshot(message));
    this.onChange(message);
  };

  snapshot = (value) => structuredClone(value);
}

// An error as JSON: its name, its text, and what version 7 adds when the server refused.
export const describeError = (error) =>
  error && {
    name: error.name ?? null,
    message: error.message ?? String(error),
    statusCode: error.statusCode ?? null,
    responseBody: error.responseBody ?? null,
  };

export const readStdin = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
};
