import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * The network of one test's browser: an HTTP proxy that can be cut. The browser's own switch to
 * offline leaves connections that are open as they are.
 */
export class Network {
  private isCut = false
  private readonly server: Server

  private constructor() {
    this.server = createServer((asked, answer) => this.pass(asked, answer))
    this.server.on('connection', (socket) => this.isCut && socket.destroy())
  }

  static async start(): Promise<Network> {
    const network = new Network()
    await new Promise<void>((resolve) => network.server.listen(0, '127.0.0.1', resolve))
    return network
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** End all connections, and take no new one. */
  cut(): void {
    this.isCut = true
    this.server.closeAllConnections()
  }

  mend(): void {
    this.isCut = false
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private pass(asked: IncomingMessage, answer: ServerResponse): void {
    const { method, headers } = asked
    // A connection for each request: on one that was kept, it could meet the server's closing.
    const onward = request(asked.url ?? '', { method, headers, agent: false }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers)
      answer.flushHeaders()
      response.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    answer.on('close', () => onward.destroy())
    asked.pipe(onward)
  }
}
