// Requests to the server. Every failure becomes one sentence above the image.

const meta = (name) => document.querySelector(`meta[name="daylight-${name}"]`).content;
export const prefix = meta("prefix");
const csrf = meta("csrf");
const message = document.getElementById("message");

export const imageAddress = (size, key) => `${prefix}/images/${size}/${key}`;

export function say(text) {
  message.textContent = text;
  message.hidden = !text;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(prefix + path, options);
  } catch {
    say("The server does not answer: nothing was saved since. Start make review again, then reload this page.");
    return null;
  }
  const body = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  say(response.ok ? "" : body.error);
  return response.ok ? body : null;
}

export const get = (path) => ask(path, {});

export const post = (path, fields) =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-daylight-csrf": csrf },
    body: JSON.stringify(fields),
  });
