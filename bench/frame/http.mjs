// HTTP/1.1 with as little work for each request as a load generator can do: requests are bytes that were made before,
// and of an answer the status and the end are looked for.

import { connect } from "node:net";

const END_OF_HEAD = Buffer.from("\r\n\r\n");

/** The bytes of a request. */
export function bytes({ method = "GET", path, headers = {}, body }) {
  const fields = { host: "127.0.0.1", "user-agent": "wardgate-bench", ...headers };
  if (body !== undefined) fields["content-length"] = Buffer.byteLength(body);
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`);
}

/** The answer at the start of `buffer`, or undefined while a part of it is missing. */
export function answer(buffer) {
  const end = buffer.indexOf(END_OF_HEAD);
  if (end < 0) return undefined;
  const head = buffer.latin1Slice(0, end + 2);
  const status = Number(head.slice(9, 12));
  const start = end + END_OF_HEAD.length;
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(head)) {
    const body = chunks(buffer, start);
    return body === undefined ? undefined : { status, head, body };
  }
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
  if (buffer.length < start + length) return undefined;
  return { status, head, body: buffer.utf8Slice(start, start + length) };
}

/** A body in chunks (RFC 9112, section 7.1), without trailers. */
function chunks(buffer, start) {
  const parts = [];
  for (let at = start; ;) {
    const line = buffer.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(buffer.latin1Slice(at, line), 16);
    const next = line + 2 + size + 2;
    if (buffer.length < next) return undefined;
    if (size === 0) return Buffer.concat(parts).toString();
    parts.push(buffer.subarray(line + 2, line + 2 + size));
    at = next;
  }
}

/** A connection that has one request on its way at a time. */
export class Connection {
  #socket;
  #received = Buffer.alloc(0);
  #settle;

  static async to(port) {
    const connection = new Connection();
    connection.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise((resolve, reject) => connection.#socket.once("connect", resolve).once("error", reject));
    connection.#socket.on("data", (chunk) => connection.#take(chunk));
    const broken = (error) =>
      connection.#settle?.reject(error ?? new Error("the server closed a connection"));
    connection.#socket.on("error", broken).on("close", () => broken());
    return connection;
  }

  /** Sends the bytes of one request and resolves to its answer. */
  send(request) {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
  }

  #take(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const whole = answer(this.#received);
    if (whole === undefined) return;
    this.#received = Buffer.alloc(0);
    this.#settle.resolve(whole);
  }

  close() {
    this.#settle = undefined;
    this.#socket.destroy();
  }
}

/** One request over a connection of its own. */
export async function ask(port, request) {
  const connection = await Connection.to(port);
  try {
    return await connection.send(bytes(request));
  } finally {
    connection.close();
  }
}
