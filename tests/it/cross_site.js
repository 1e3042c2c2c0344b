// What a hostile page tries with the cookies of its visitor: the body of an async function of {api, mallory, victim,
// only}: mallory's credentials are for signing the visitor in behind their back, and only tries whose names begin
// with `only` are made. Returns what each could read: {try: {status, body}}, null where that was nothing.

const { api, mallory, victim, only } = arg;
const planted = { username: "planted", email: "planted@evil.test", roles: "root-admin", password: "not for you 123" };
const asJson = { "Content-Type": "application/json" };
const asForm = (fields) => new URLSearchParams(fields);
const asText = (value) => new Blob([JSON.stringify(value)], { type: "text/plain" });
const multipart = (fields) =>
  Object.entries(fields).reduce((form, [name, value]) => (form.append(name, value), form), new FormData());

const get = (path, more) => ask("GET", path, more);
const post = (path, body, more) => ask("POST", path, { body, ...more });
const json = (path, body) => post(path, JSON.stringify(body), { headers: asJson });
const blind = (path, body) => post(path, body, { mode: "no-cors" });

async function ask(method, path, more) {
  try {
    const answer = await fetch(api + path, { method, credentials: "include", ...more });
    return answer.type === "opaque" ? null : { status: answer.status, body: await answer.json().catch(() => null) };
  } catch {
    return null;
  }
}

const until = (condition) =>
  new Promise((done) => {
    const look = () => (condition() ? done() : setTimeout(look, 5));
    look();
  });

// Whether the document of a window is another origin's by now, which is all that its opener can see.
function isForeign(window) {
  try {
    return window.location.href === null;
  } catch {
    return true;
  }
}

function add(name, attributes) {
  const element = Object.assign(document.createElement(name), attributes);
  document.documentElement.append(element);
  return element;
}

function load(name, path) {
  return new Promise((done) => {
    const element = add(name, { src: api + path });
    element.onload = () => done({ status: 200, body: `a ${name} was loaded` });
    element.onerror = () => done(null);
  });
}

async function frame(path) {
  const element = add("iframe", { src: api + path });
  await until(() => isForeign(element.contentWindow));
  return element.contentDocument && { status: 200, body: element.contentDocument.body.innerText };
}

// A form that is sent as a visitor sends one, into `target`.
function submit(target, path, fields, enctype) {
  const form = add("form", { method: "POST", action: api + path, target, enctype });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { name, value }));
  }
  form.submit();
}

async function formInFrame(path, fields, enctype = "application/x-www-form-urlencoded") {
  const element = add("iframe", { name: `frame${Math.random()}` });
  submit(element.name, path, fields, enctype);
  await until(() => isForeign(element.contentWindow));
  return element.contentDocument && { status: 200, body: element.contentDocument.body.innerText };
}

async function formInWindow(path, fields) {
  const name = `window${Math.random()}`;
  const opened = window.open("about:blank", name);
  // A sandbox allows no windows.
  if (!opened) return null;
  submit(name, path, fields, "application/x-www-form-urlencoded");
  await until(() => isForeign(opened));
  opened.close();
  return null;
}

const tries = {
  "read by fetch": () => get("/api/user/me/"),
  "read by a blind fetch": () => get("/api/user/me/", { mode: "no-cors" }),
  "read by an image": () => load("img", "/api/user/me/"),
  "read by a frame": () => frame("/api/user/me/"),
  "read by a script": () => load("script", "/api/user/me/"),
  "read the session": () => post("/api/token/validate/"),
  "read the session as a gateway": () => get("/api/token/validate/"),
  "read the session by a script": () => load("script", "/api/token/validate/"),
  "read the session by an image": () => load("img", "/api/token/validate/"),
  "read the session by a frame": () => frame("/api/token/validate/"),
  "refresh": () => json("/api/token/refresh/", {}),
  "refresh by a form": () => blind("/api/token/refresh/", asForm({})),
  "change": () => json("/api/user/users/", { ...planted, roles: ["root-admin"] }),
  "change by a blind form": () => blind("/api/user/users/", asForm(planted)),
  "change by blind multipart": () => blind("/api/user/users/", multipart(planted)),
  "change by blind text": () => blind("/api/user/users/", asText(planted)),
  "change by a form in a frame": () => formInFrame("/api/user/users/", planted),
  "change by a form in a window": () => formInWindow("/api/user/users/", planted),
  "change by a form of text": () => formInFrame("/api/user/users/", { '{"username":"planted","x":"': '"}' }, "text/plain"),
  "delete": () => ask("DELETE", `/api/user/users/${victim}/`),
  "sign out": () => post("/api/logout/"),
  "sign out by JSON": () => json("/api/logout/", { everywhere: true }),
  "sign out by a blind form": () => blind("/api/logout/", asForm({ everywhere: "true" })),
  "sign out by blind text": () => blind("/api/logout/", asText({ everywhere: true })),
  "sign out by a form in a frame": () => formInFrame("/api/logout/", {}),
  "sign out by a form in a window": () => formInWindow("/api/logout/", {}),
  "sign in by blind text": () => blind("/api/login/", asText(mallory)),
  "sign in by a blind form": () => blind("/api/login/", asForm(mallory)),
  "sign in by blind multipart": () => blind("/api/login/", multipart(mallory)),
  "sign in by a form in a frame": () => formInFrame("/api/login/", mallory),
  "sign in by a form in a window": () => formInWindow("/api/login/", mallory),
  "sign in": () => json("/api/login/", mallory),
};

const read = {};
for (const [name, attempt] of Object.entries(tries)) if (name.startsWith(only)) read[name] = await attempt();
return read;
