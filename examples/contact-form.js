// Sends the contact form in place: fetches a session token, posts the form with it, says what
// became of it. The relay's address and the publishable key stand in the form itself.
"use strict";

const WRITING_MS = 4000; // longer than the least that a server asks for between token and form

const form = document.getElementById("contact-form");
const notice = document.getElementById("notice");
const button = form.querySelector("button");
const sending = document.getElementById("sending");
const progress = document.getElementById("progress");

let token = form.elements["email[token_session]"].value; // a server may have put one there
let coming = null; // the token that was asked for
let unanswered = false; // an earlier post whose answer was lost may have arrived

let proof = null; // what the relay asks this page to compute, for one token
const widget = form.querySelector("altcha-widget"); // ALTCHA's own does it, where the form has it

class Refusal extends Error {
  constructor(reply, words) {
    super(words);
    this.status = reply.status;
    this.retryAfter = reply.headers.get("Retry-After");
  }
}

async function post(path, body) {
  const url = new URL(path, form.action);
  const headers = { Authorization: `token ${form.elements.key.value}` };
  const signal = AbortSignal.timeout(20_000);
  const reply = await (body instanceof FormData
    ? upload(url, headers, body)
    : fetch(url, { method: "POST", headers, body, signal }));
  const answer = await reply.json();
  if (!reply.ok) throw new Refusal(reply, answer.response);
  return { ...answer, reference: reply.headers.get("X-Relay-Reference") };
}

// Files take a while: fetch() does not say how much has gone.
function upload(url, headers, body) {
  const request = new XMLHttpRequest();
  request.open("POST", url);
  request.timeout = 180_000;
  for (const name in headers) request.setRequestHeader(name, headers[name]);
  request.upload.onprogress = ({ loaded, total }) => (progress.value = loaded / total);
  progress.value = 0;
  sending.hidden = false;
  return new Promise((resolve, reject) => {
    request.onload = () => resolve(replyOf(request));
    request.onerror = request.ontimeout = () => reject(new TypeError("no answer"));
    request.send(body);
  }).finally(() => (sending.hidden = true));
}

function replyOf(request) {
  const lines = request.getAllResponseHeaders().trim().split("\r\n");
  const headers = lines.map((line) => line.split(": ", 2));
  return new Response(request.responseText, { status: request.status, headers });
}

// Asked for when somebody begins to write: a form that comes right after its token is a robot's.
function haveToken() {
  coming ??= newToken().finally(() => (coming = null));
  return coming;
}

async function newToken() {
  token ||= (await post("../email_token/create")).token_session;
}

// Where the relay's server lists `altcha`: begun while somebody writes, it takes about a second.
function haveProof() {
  const { challenge } = form.dataset;
  if (challenge && proof?.token !== token) {
    proof = { token, solution: solve(challenge) };
    proof.solution.catch(() => (proof = null)); // the next one tries again
  }
  return proof?.solution;
}

async function solve(path) {
  const url = new URL(path, form.action);
  url.searchParams.set("token_session", token);
  const reply = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  const challenge = await reply.json();
  if (!reply.ok) throw new Refusal(reply, challenge.response);
  const { nonce, salt, cost, keyLength, keyPrefix } = challenge.parameters;
  const password = new Uint8Array([...bytes(nonce), 0, 0, 0, 0]);
  const last = new DataView(password.buffer, password.length - 4);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
  for (let counter = 0; ; counter++) {
    last.setUint32(0, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const derivedKey = hex(await crypto.subtle.deriveBits(how, key, keyLength * 8));
    if (derivedKey.startsWith(keyPrefix)) {
      return btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
    }
  }
}

// A challenge is for a token: the widget is to ask for its own with that.
async function challenged(address, options) {
  await haveToken();
  const url = new URL(address, form.action);
  url.searchParams.set("token_session", token);
  return fetch(url, options);
}

async function solveAgain() {
  proof = null;
  return (await widget?.verify?.())?.payload;
}

function bytes(digits) {
  return Uint8Array.from(digits.match(/../g), (two) => parseInt(two, 16));
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (one) => one.toString(16).padStart(2, "0")).join("");
}

async function submit(solved) {
  const solution = solved ?? (await haveProof());
  const data = new FormData(form);
  const files = [...data.values()].some((value) => value instanceof File && value.size);
  for (const [name, value] of [...data]) if (value instanceof File && !value.size) data.delete(name);
  // As it is, or of a file nothing but its name would arrive.
  const fields = files ? data : new URLSearchParams(data);
  fields.delete("key"); // it goes into the header
  fields.delete("return_to"); // the outcome is shown here
  fields.set("email[token_session]", token);
  fields.set("email[url]", location.href);
  if (solution) fields.set("altcha", solution);
  try {
    return await post("", fields);
  } catch (error) {
    if (!(error instanceof Refusal)) unanswered = true;
    throw error;
  }
}

async function send() {
  await haveToken();
  try {
    return await submit();
  } catch (error) {
    if (error.message === "verification failed" && (proof || widget)) {
      return await submit(await solveAgain()); // it grew too old while the page stood open
    }
    // After a lost answer the token may be spent because the message arrived: see explain().
    if (error.message !== "invalid token" || unanswered) throw error;
    token = ""; // it expired while the page stood open
    await haveToken();
    await new Promise((resolve) => setTimeout(resolve, WRITING_MS));
    return await submit(await solveAgain());
  }
}

function explain(error) {
  if (!(error instanceof Refusal)) {
    return "We could not reach our mail service. Please check your connection and try again.";
  }
  if (error.status === 400) return `Please check your message. ${labelled(error.message)}`;
  if (error.status === 413) {
    return "Your message is too large. Please shorten it, or choose smaller files.";
  }
  if (error.status === 429 || error.status === 503) {
    return `We cannot take your message right now. Please try again in ${error.retryAfter} seconds.`;
  }
  if (error.message === "verification failed") {
    return "It could not be checked that you are a person. Please try again.";
  }
  if (error.message === "invalid token" && unanswered) {
    token = "";
    unanswered = false;
    return "Your earlier attempt has probably arrived. To be sure, press Send once more.";
  }
  return `Your message could not be sent: ${error.message}.`;
}

// The relay names fields; people know them by their labels.
function labelled(words) {
  for (const field of form.querySelectorAll("input[id], textarea[id]")) {
    const name = `${field.name.slice("email[".length, -1)}: `;
    field.setAttribute("aria-invalid", words.includes(name));
    words = words.replace(name, `${field.labels[0].firstChild.data.trim()}: `);
  }
  return words;
}

function show(kind, words) {
  notice.className = `notice ${kind}`;
  notice.textContent = words;
  notice.hidden = false;
  notice.focus();
}

form.addEventListener("focusin", () => {
  haveToken().then(haveProof).catch(() => {}); // sending tries again, and says what is wrong
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  button.textContent = "Sending …";
  labelled("");
  try {
    const { response, reference } = await send();
    token = "";
    unanswered = false;
    form.reset();
    const sent = response === "Message sent";
    const number = reference ? ` Its reference is ${reference}.` : "";
    show("success", `Thank you. Your message ${sent ? "was sent" : "will be sent soon"}.${number}`);
  } catch (error) {
    show("error", explain(error));
  } finally {
    button.textContent = "Send";
    button.disabled = false;
  }
});

const own = () => widget.configure({ fetch: challenged });
widget?.addEventListener("load", own);
if (widget?.configure) own(); // it was there before this script
document.getElementById("no-script")?.remove();
button.disabled = false;
