// The form of an account page where scripts run: it takes the token from the address, is sent by fetch, and says
// what came of it. Without this file the form is an ordinary one.
"use strict";

const form = document.querySelector("form");
const button = form.querySelector("button");
const done = document.getElementById("done");
const fault = document.getElementById("fault");
const refusals = new Map(
  [...document.querySelectorAll("#refusals > li")].map((item) => [item.dataset.said, item.textContent]),
);

/** Moves the token of the fragment into the form. In the address bar it would be seen, kept and copied. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  if (token) {
    form.elements.token.value = token;
    form.elements.token.closest(".field").hidden = true;
  }
}

function say(place, text) {
  place.textContent = text;
  place.hidden = text === "";
}

/** A refusal of the API in the language of the page; as it came, where the page has no words for it. */
function inLanguage(text) {
  const numbers = text.match(/\d+/g) ?? [];
  const words = refusals.get(text.replace(/\d+/g, "#"));
  return words === undefined ? text : words.replace(/#/g, () => numbers.shift());
}

/** Says of an input what is wrong with it; false where the page shows no such input. */
function blame(name, text) {
  const input = form.elements.namedItem(name);
  const place = document.getElementById(`${name}-fault`);
  if (!input || !place || input.closest(".field").hidden) {
    return false;
  }
  say(place, text);
  input.setAttribute("aria-invalid", "true");
  return true;
}

function forgetFaults() {
  say(fault, "");
  form.querySelectorAll("p.fault").forEach((place) => say(place, ""));
  form.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
}

/** What a refusal says: of an input beside it, all else above the form. */
function refuse(status, body) {
  const general = [];
  for (const [name, said] of Object.entries(body ?? {})) {
    const texts = (Array.isArray(said) ? said : []).filter((text) => typeof text === "string").map(inLanguage);
    if (name === "token" && texts.length > 0) {
      general.push(form.dataset.badLink);
    } else if (texts.length > 0 && !blame(name, texts.join(" "))) {
      general.push(...texts);
    }
  }
  if (status === 429) {
    general.push(form.dataset.throttled);
  } else if (status < 500 && typeof body?.detail === "string") {
    general.push(inLanguage(body.detail));
  }
  const blamed = form.querySelector("[aria-invalid]");
  if (general.length === 0 && !blamed) {
    general.push(form.dataset.failed);
  }
  say(fault, general.join(" "));
  (blamed ?? fault).focus();
}

async function send() {
  forgetFaults();
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  const values = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(values),
      // The token alone identifies the user; a session in this browser is not used.
      credentials: "omit",
      redirect: "error",
    });
    if (answer.ok) {
      form.hidden = true;
      form.reset();
      done.hidden = false;
      done.focus();
      return;
    }
    refuse(answer.status, await answer.json().catch(() => null));
  } catch {
    refuse(0, null);
  } finally {
    button.disabled = false;
    form.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
for (const box of form.querySelectorAll("[data-shows]")) {
  const input = form.elements.namedItem(box.dataset.shows);
  box.closest("label").hidden = false;
  box.addEventListener("change", () => {
    input.type = box.checked ? "text" : "password";
  });
}
// A second link to the page that is open changes the fragment alone.
addEventListener("hashchange", takeToken);
takeToken();
