// What ours is measured against: each a target of frame/measure.mjs, on a Worker that is started when it is first asked for.

import { spawn } from "node:child_process";
import { createSign, generateKeyPairSync } from "node:crypto";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { forged } from "./frame/fairness.mjs";
import { bytes } from "./frame/http.mjs";
import { start } from "./frame/workers.mjs";
import { rotating } from "./ours.mjs";

const PASSWORD = "Wintry-harbour-lantern-42";
const EMAILS = Array.from({ length: 16 }, (_, index) => `bench-${index}@bench.test`);
const ORIGIN = "http://127.0.0.1";
const FORM = "application/x-www-form-urlencoded";
/** What libraries need that are written for Node, too. */
const NODE = ["nodejs_compat"];

export class Others {
  #bench;
  #running = new Map();

  /** `bench` has the folder for bundles, the processors, and where Argon2 is. */
  constructor(bench) {
    this.#bench = bench;
  }

  /** The Worker of a file of peers/, with what it was seeded with. */
  #worker(file, options, seed = async () => ({})) {
    if (!this.#running.has(file)) {
      const { folder, processors } = this.#bench;
      const started = start(file, { folder, processors, ...options });
      this.#running.set(
        file,
        started.then(async (worker) => ({ ...worker, ...(await seed(worker)) })),
      );
    }
    return this.#running.get(file);
  }

  async stop() {
    for (const { value } of await Promise.allSettled(this.#running.values())) await value?.stop();
  }

  /** The Worker that does nothing, asked what ours is asked. */
  async empty(load) {
    return { name: "empty Worker", ...(await this.#worker("empty.mjs", {})), load };
  }

  /** A library that validates tokens. */
  async validating(name, file, trust, tokens) {
    const worker = await this.#worker(file, { bindings: { TRUST: trust }, flags: NODE });
    const request = (token) => ({ method: "POST", path: "/", headers: { authorization: `Bearer ${token}` } });
    const bad = Object.entries(forged(tokens[0])).map(([kind, token]) => [kind, request(token)]);
    return {
      name,
      ...worker,
      load: { connections: 16, next: rotating(tokens.map((token) => bytes(request(token)))) },
      fair: {
        good: () => request(tokens[0]),
        bad: Object.fromEntries(bad),
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).valid === true,
      },
    };
  }

  /** OpenAuth's client, with tokens of the form that it accepts, as many and with the same claims beside. */
  openauth(trust, tokens) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const kid = "bench";
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = tokens.map((token) => {
      const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
      const own = { mode: "access", type: "user", properties: { id: claims.sub } };
      const input = `${encode({ alg: "RS256", typ: "JWT", kid })}.${encode({ ...claims, ...own })}`;
      return `${input}.${createSign("RSA-SHA256").update(input).sign(privateKey, "base64url")}`;
    });
    const jwk = { ...publicKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" };
    return this.validating("@openauthjs/openauth", "openauth.mjs", { ...trust, jwk }, signed);
  }

  #betterAuth() {
    return this.#worker("better-auth.mjs", { flags: NODE }, async ({ port }) => {
      await fetch(`http://127.0.0.1:${port}/seed`);
      const cookies = [];
      for (const email of EMAILS) {
        const response = await fetch(`http://127.0.0.1:${port}/api/auth/sign-up/email`, {
          method: "POST",
          headers: { "content-type": "application/json", origin: ORIGIN },
          body: JSON.stringify({ email, password: PASSWORD, name: "bench" }),
        });
        if (!response.ok)
          throw new Error(`better-auth did not sign up: ${response.status} ${await response.text()}`);
        cookies.push(
          response.headers
            .getSetCookie()
            .map((cookie) => cookie.split(";")[0])
            .join("; "),
        );
      }
      return { cookies };
    });
  }

  async betterAuthSigningIn() {
    const worker = await this.#betterAuth();
    const request = (email, password) => ({
      method: "POST",
      path: "/api/auth/sign-in/email",
      headers: { "content-type": "application/json", origin: ORIGIN },
      body: JSON.stringify({ email, password }),
    });
    return {
      name: "better-auth",
      ...worker,
      load: { connections: 4, next: rotating(EMAILS.map((email) => bytes(request(email, PASSWORD)))) },
      fair: {
        good: () => request(EMAILS[0], PASSWORD),
        bad: {
          "a wrong password": request(EMAILS[1], "Wintry-harbour-lantern-43"),
          "an unknown user": request("bench-unknown@bench.test", PASSWORD),
        },
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).token.length > 0,
      },
    };
  }

  /** better-auth's `/token`: a session's cookie becomes a signed token. Nothing rotates. */
  async betterAuthRefreshing() {
    const worker = await this.#betterAuth();
    const request = (cookie) => ({ path: "/api/auth/token", headers: { cookie } });
    const { cookies } = worker;
    return {
      name: "better-auth /token",
      ...worker,
      load: { connections: 4, next: rotating(cookies.map((cookie) => bytes(request(cookie)))) },
      fair: {
        good: () => request(cookies[0]),
        bad: {
          "a changed cookie": request(cookies[0].replace(/=.{8}/, "=AAAAAAAA")),
          "no cookie": { path: "/api/auth/token" },
          garbage: request("better-auth.session_token=abc"),
        },
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).token.split(".").length === 3,
      },
    };
  }

  #openauthIssuer() {
    return this.#worker("openauth-issuer.mjs", { flags: NODE }, async ({ port }) => {
      const url = `http://127.0.0.1:${port}`;
      const post = (path, body, cookie = "") =>
        fetch(url + path, {
          method: "POST",
          redirect: "manual",
          headers: { "content-type": FORM, cookie },
          body: new URLSearchParams(body),
        });
      for (const email of EMAILS) {
        await fetch(`${url}/seed`, { method: "POST", body: JSON.stringify({ email, password: PASSWORD }) });
      }
      const client = { client_id: "web", redirect_uri: `${ORIGIN}/callback` };
      const query = new URLSearchParams({ ...client, response_type: "code", state: "bench" });
      const begun = await fetch(`${url}/authorize?${query}`, { redirect: "manual" });
      const cookie = begun.headers
        .getSetCookie()
        .map((one) => one.split(";")[0])
        .join("; ");
      const refreshTokens = [];
      for (const email of EMAILS) {
        const signedIn = await post("/password/authorize", { email, password: PASSWORD }, cookie);
        const code = new URL(signedIn.headers.get("location")).searchParams.get("code");
        const tokens = await post("/token", { ...client, grant_type: "authorization_code", code });
        refreshTokens.push((await tokens.json()).refresh_token);
      }
      return { cookie, refreshTokens };
    });
  }

  async openauthSigningIn() {
    const worker = await this.#openauthIssuer();
    const request = (email, password) => ({
      method: "POST",
      path: "/password/authorize",
      headers: { "content-type": FORM, cookie: worker.cookie },
      body: new URLSearchParams({ email, password }).toString(),
    });
    const granted = ({ status, head }) => status === 302 && /\r\nlocation: .*[?&]code=/i.test(head);
    return {
      name: "@openauthjs/openauth",
      ...worker,
      load: {
        connections: 4,
        granted,
        next: rotating(EMAILS.map((email) => bytes(request(email, PASSWORD)))),
      },
      fair: {
        good: () => request(EMAILS[0], PASSWORD),
        bad: {
          "a wrong password": request(EMAILS[1], "Wintry-harbour-lantern-43"),
          "an unknown user": request("bench-unknown@bench.test", PASSWORD),
        },
        accepts: granted,
      },
    };
  }

  async openauthRefreshing() {
    const worker = await this.#openauthIssuer();
    const request = (refresh_token) => ({
      method: "POST",
      path: "/token",
      headers: { "content-type": FORM },
      body: new URLSearchParams({ grant_type: "refresh_token", refresh_token }).toString(),
    });
    return {
      name: "@openauthjs/openauth",
      ...worker,
      load: { connections: 4, next: rotating(worker.refreshTokens.map((token) => bytes(request(token)))) },
      fair: {
        good: () => request(worker.refreshTokens[0]),
        bad: {
          "a changed token": request(worker.refreshTokens[0].replace(/.{8}$/, "AAAAAAAA")),
          garbage: request("abc"),
        },
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).access_token.length > 0,
      },
    };
  }

  /** One hash for each request. */
  async argon2() {
    const { folder, argon2 } = this.#bench;
    const wasm = "argon2_bg.wasm";
    copyFileSync(join(argon2.wasm, wasm), join(folder, wasm));
    const worker = await this.#worker("argon2.mjs", {
      wasm,
      alias: { "argon2-alone": join(argon2.wasm, "argon2.js") },
    });
    const request = { path: "/" };
    const expected = (await this.#program()).hash;
    return {
      name: "Argon2id alone",
      ...worker,
      load: { connections: 4, next: () => bytes(request) },
      fair: {
        good: () => request,
        bad: {},
        accepts: ({ status, body }) => status === 200 && body === expected,
      },
    };
  }

  /** The same code as a program of this machine. */
  async native() {
    const program = await this.#program();
    const run = async (ms) => {
      const until = performance.now() + ms;
      let count = 0;
      for (; performance.now() < until; count += 1) await program.next();
      return count;
    };
    return { name: "Argon2id, native", pid: program.pid, run };
  }

  /** The program: a line in, a hash computed, the hash out. */
  #program() {
    const key = "argon2, native";
    if (!this.#running.has(key)) this.#running.set(key, this.#startProgram());
    return this.#running.get(key);
  }

  async #startProgram() {
    const { argon2, processors } = this.#bench;
    const child = spawn(argon2.native, { stdio: ["pipe", "pipe", "inherit"] });
    processors.server(child.pid);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => {
      child.stdin.write("\n");
      return (await lines.next()).value;
    };
    return { pid: child.pid, next, hash: await next(), stop: () => child.kill() };
  }
}
