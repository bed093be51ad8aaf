// The network between a page and the server: it records, leads each path to its function, and
// breaks when it is told to, in the words of a browser.

import { setTimeout as sleep } from 'node:timers/promises';

// A connection that breaks during an answer: node says "terminated" where Chrome says "network
// error", and it is by such words that the SDK knows it from other errors.
const broken = (cause) => new TypeError('network error', { cause });

async function* eventsOf(body) {
  let rest = '';
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split('\n\n');
    rest = events.pop();
    for (const event of events) yield `${event}\n\n`;
  }
  if (rest) yield rest;
}

// Passes a stream on as it comes; cut: breaks after so many events.
async function* passed(body, cut) {
  const encoder = new TextEncoder();
  let remaining = cut ?? Infinity;
  try {
    for await (const event of eventsOf(body)) {
      if (!event.startsWith(':') && (remaining -= 1) < 0) throw broken();
      yield encoder.encode(event);
    }
  } catch (error) {
    throw error instanceof TypeError && error.message === 'terminated' ? broken(error) : error;
  }
}

export class Network {
  requests = [];
  // How many of them are not answered yet.
  pending = 0;

  // routes: [[end of a path, base URL of its function], ...], the first that fits leads; duration:
  // how many seconds a function may take, which the platform tells it; cuts: after how many events
  // the first, second, ... stream breaks; resumeDelay: how many milliseconds it
  // takes until a GET of a stream arrives.
  constructor({ routes = [], duration = null, cuts = [], resumeDelay = 0 }) {
    Object.assign(this, { routes, duration, cuts: [...cuts], resumeDelay });
    this.realFetch = globalThis.fetch;
    this.page = new AbortController();
    globalThis.fetch = this.fetch;
  }

  // The page is left: its connections end, and nothing of it goes on.
  leave() {
    this.page.abort();
    this.page = new AbortController();
  }

  fetch = async (url, init = {}) => {
    const request = {
      method: init.method ?? 'GET',
      url: String(url),
      headers: Object.fromEntries(new Headers(init.headers)),
      body: init.body ? JSON.parse(init.body) : null,
      status: null,
      responseHeaders: null,
    };
    this.requests.push(request);
    this.pending += 1;
    try {
      return await this.#answer(request, url, init);
    } finally {
      this.pending -= 1;
    }
  };

  async #answer(request, url, init) {
    const { signal } = this.page;
    const isResume = request.method === 'GET' && new URL(url).pathname.endsWith('/stream');
    if (isResume) await sleep(this.resumeDelay);
    const response = await this.realFetch(this.#led(url), {
      ...init,
      headers: { ...request.headers, ...this.#platformHeaders() },
      signal: init.signal ? AbortSignal.any([init.signal, signal]) : signal,
    });
    request.status = response.status;
    request.responseHeaders = Object.fromEntries(response.headers);
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
    if (!response.body || !isStream) return response;
    return new Response(ReadableStream.from(passed(response.body, this.cuts.shift())), response);
  }

  #platformHeaders() {
    if (this.duration === null) return {};
    const deadline = new Date(Date.now() + this.duration * 1000).toISOString();
    return {
      'x-vercel-internal-deadline': deadline,
      'x-vercel-internal-invocation-id': 'invocation-1',
      'x-vercel-internal-request-id': '1',
    };
  }

  #led(url) {
    const { pathname, search } = new URL(url);
    const [, base] = this.routes.find(([part]) => pathname.endsWith(part)) ?? [];
    return base ? `${base}${pathname}${search}` : url;
  }
}
