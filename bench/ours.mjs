// Our own stack, as `./wardgate bench` has started it: its users, sessions and tokens, and what is asked of it.

import { Connection, bytes } from "./frame/http.mjs";
import { forged } from "./frame/fairness.mjs";

const PASSWORD = "Wintry-harbour-lantern-42";
/** Users whose sessions refresh; others sign in, since a sign-in ends a user's 101st session. */
const REFRESHING = Array.from({ length: 16 }, (_, index) => `bench-refreshing-${index}`);
const SIGNING_IN = Array.from({ length: 16 }, (_, index) => `bench-signing-in-${index}`);
/** Whose password is guessed at, which makes its owner wait. */
const GUESSED = "bench-guessed";
/** So many that none comes near its limit of 120 requests a minute. */
const SESSIONS = 256;
const JSON_BODY = { "content-type": "application/json" };

/** Passes on one after the other, over and over. */
export function rotating(list) {
  let at = 0;
  return () => list[at++ % list.length];
}

/** Clients' addresses, since limits count by network. Locally the runtime takes them from the client. */
const address = rotating(
  Array.from({ length: 64 }, (_, index) => ({ "cf-connecting-ip": `192.0.2.${index}` })),
);

export class Ours {
  name = "wardgate";
  #dev;
  #sessions;

  /** `dev` is what dev.json says. */
  constructor(dev) {
    this.#dev = dev;
    this.port = Number(new URL(dev.edge.direct_url).port);
    this.pid = dev.edge.workerd_pid;
    this.path = `/t/${dev.tenant.slug}`;
  }

  /** Asks by the edge's ordinary address, as a client. */
  async #call(path, body, bearer) {
    const response = await fetch(`${this.#dev.edge.url}${this.path}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { ...JSON_BODY, ...(bearer && { authorization: `Bearer ${bearer}` }) },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  #signIn(username, password) {
    const body = JSON.stringify({ username, password });
    return { method: "POST", path: `${this.path}/api/token/`, headers: { ...JSON_BODY, ...address() }, body };
  }

  #refresh(refresh) {
    return {
      method: "POST",
      path: `${this.path}/api/token/refresh/`,
      headers: JSON_BODY,
      body: JSON.stringify({ refresh }),
    };
  }

  #validate(token) {
    return {
      method: "POST",
      path: `${this.path}/api/token/validate/`,
      headers: { authorization: `Bearer ${token}` },
    };
  }

  /** What a verifier of our tokens must know. */
  async trust() {
    const { keys } = await this.#call("/.well-known/jwks.json");
    const { public_key: pem } = await this.#call("/api/public-key/");
    const [{ access }] = await this.sessions();
    const [{ kid }, { iss: issuer, aud: audience }] = access
      .split(".", 2)
      .map((part) => JSON.parse(Buffer.from(part, "base64url")));
    return { jwk: keys.find((key) => key.kid === kid), pem, issuer, ...(audience && { audience }) };
  }

  /** Signs in until there are enough sessions: their tokens. Users are made before, and known at the edge after. */
  async sessions() {
    if (this.#sessions) return this.#sessions;
    const { access } = await this.#call("/api/token/", {
      username: this.#dev.admin.username,
      password: this.#dev.admin.password,
    });
    for (const username of [...REFRESHING, ...SIGNING_IN, GUESSED]) {
      await this.#call(
        "/api/user/users/",
        { username, email: `${username}@bench.test`, password: PASSWORD, roles: ["client"] },
        access,
      );
    }
    const connection = await Connection.to(this.port);
    const signedIn = async (username) => {
      for (let attempt = 0; ; attempt += 1) {
        const answer = await connection.send(bytes(this.#signIn(username, PASSWORD)));
        if (answer.status === 200) return JSON.parse(answer.body);
        // A new user reaches the edge within seconds.
        if (attempt === 100) throw new Error(`a sign-in answered ${answer.status}: ${answer.body}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    for (const username of SIGNING_IN) await signedIn(username);
    const sessions = [];
    const username = rotating(REFRESHING);
    while (sessions.length < SESSIONS) sessions.push(await signedIn(username()));
    connection.close();
    this.#sessions = sessions;
    return sessions;
  }

  /** `count` access tokens: each session refreshes as often as is needed. */
  async accessTokens(count) {
    const tokens = (await this.sessions()).map((session) => session.access);
    const connection = await Connection.to(this.port);
    for (let index = 0; tokens.length < count; index = (index + 1) % SESSIONS) {
      const answer = await connection.send(bytes(this.#refresh(this.#sessions[index].refresh)));
      if (answer.status !== 200) throw new Error(`a refresh answered ${answer.status}: ${answer.body}`);
      this.#sessions[index] = JSON.parse(answer.body);
      tokens.push(this.#sessions[index].access);
    }
    connection.close();
    return tokens;
  }

  /** Validates these tokens in turn. */
  validating(tokens) {
    const bad = Object.entries(forged(tokens[0])).map(([name, token]) => [name, this.#validate(token)]);
    return {
      ...this.served(),
      load: { connections: 16, next: rotating(tokens.map((token) => bytes(this.#validate(token)))) },
      fair: {
        good: () => this.#validate(tokens[0]),
        bad: Object.fromEntries(bad),
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).valid === true,
      },
    };
  }

  /** Serves its public keys. */
  keys() {
    const request = { path: `${this.path}/.well-known/jwks.json` };
    const accepts = ({ status, body }) => status === 200 && JSON.parse(body).keys.length > 0;
    const elsewhere = { path: "/t/nowhere-at-all/.well-known/jwks.json" };
    return {
      ...this.served(),
      load: { connections: 16, next: () => (this.#keys ??= bytes(request)) },
      fair: { good: () => request, bad: { "an unknown tenant": elsewhere }, accepts },
    };
  }
  #keys;

  /** Signs users in. */
  signingIn() {
    const username = rotating(SIGNING_IN);
    return {
      ...this.served(),
      load: { connections: 4, next: () => bytes(this.#signIn(username(), PASSWORD)) },
      fair: {
        good: () => this.#signIn(username(), PASSWORD),
        bad: {
          "a wrong password": this.#signIn(GUESSED, "Wintry-harbour-lantern-43"),
          "an unknown user": this.#signIn("bench-unknown", PASSWORD),
        },
        accepts: ({ status, body }) => status === 200 && JSON.parse(body).access.length > 0,
      },
    };
  }

  /** Refreshes sessions: the token of an answer is the next request's. */
  async refreshing() {
    const queue = (await this.sessions()).map((session) => session.refresh);
    const take = ({ body }) => queue.push(JSON.parse(body).refresh);
    const changed = queue[0].replace(/.{8}$/, "AAAAAAAA");
    return {
      ...this.served(),
      load: { connections: 4, next: () => bytes(this.#refresh(queue.shift())), answered: take },
      fair: {
        good: () => this.#refresh(queue.shift()),
        bad: {
          "a changed token": this.#refresh(changed),
          "an access token": this.#refresh(this.#sessions[0].access),
          garbage: this.#refresh("abc"),
        },
        accepts: (answer) => answer.status === 200 && take(answer) > 0,
      },
    };
  }

  served() {
    return { name: this.name, port: this.port, pid: this.pid };
  }
}
