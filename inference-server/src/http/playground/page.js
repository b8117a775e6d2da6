// The page at `/`: asks this service, and another one if it is named, and shows what they answer. What people and
// servers say becomes text on the page and never markup.

const { api, key, origins } = document.documentElement.dataset;
const otherOrigins = origins.split(" ").filter(Boolean);
const byId = (id) => document.getElementById(id);
const [form, text, ownKey, other, otherKey, status, answers] =
  ["form", "text", "key", "other", "other-key", "status", "answers"].map(byId);

/** Scores that are shown before the others are asked for. */
const FIRST_SCORES = 8;
/** Shares of the largest one below which a word isn't marked. */
const LEAST_SHARE = 0.12;

/** Why there is no answer, in words for the reader. */
class Refusal extends Error {
  constructor(message, more = {}) {
    super(message);
    Object.assign(this, more);
  }
}

// Making elements

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes ?? {})) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child != null));
  return made;
}

function note(...children) {
  return element("p", { class: "note" }, ...children);
}

function bar(share, below = false) {
  const filled = element("div", below ? { class: "below" } : null);
  filled.style.setProperty("--share", Math.min(1, Math.max(0, share)));
  return element("div", { class: "track", "aria-hidden": "true" }, filled);
}

function table(attributes, caption, heads, rows) {
  return element("table", attributes,
    element("caption", { class: "unseen" }, caption),
    element("thead", null, element("tr", null, ...heads)),
    element("tbody", null, ...rows));
}

const head = (name, attributes) => element("th", { scope: "col", ...attributes }, name);

// Numbers as they are read

const milliseconds = (number) => `${number < 10 ? number.toFixed(1) : Math.round(number)} ms`;
const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(3)}`;

/** A score by what the model tells: a probability, or of a regression the number itself. */
function scored(score, service) {
  return service.isNumber ? String(+score.toFixed(4)).replace("-", "−") : `${(score * 100).toFixed(1)} %`;
}

// Asking

/** A service by its address: where its API is, if this page may ask there. */
function serviceAt(address, sentKey) {
  let base;
  try {
    base = new URL(address, document.baseURI);
  } catch {
    throw new Refusal(`${address} is no address: write a path such as /staging/, or https:// and a host.`);
  }
  if (base.origin !== location.origin && !otherOrigins.includes(base.origin)) {
    throw new Refusal(`This page asks its own host, ${location.host}, and no other that its service doesn't name: ` +
      `MLOPS_PLAYGROUND_ORIGINS there must hold ${base.origin}.`);
  }
  base.search = base.hash = "";
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  if (api && !base.pathname.endsWith(`/${api}/`)) base.pathname += `${api}/`;
  return { base, key: sentKey, isNumber: false };
}

function withKey(service) {
  if (!service.key) return {};
  if (!/^[\x21-\x7e]+$/.test(service.key)) throw new Refusal("The API key holds a character that no key has.");
  return { "x-api-key": service.key };
}

/** What a service answers, how long that took, and by which model. */
async function ask(service, path, body, signal) {
  const request = { signal, cache: "no-store", headers: { accept: "application/json", ...withKey(service) } };
  if (body) {
    request.method = "POST";
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const url = new URL(path, service.base);
  const began = performance.now();
  let response, content;
  try {
    response = await fetch(url, request);
    content = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(unreachable(url));
  }
  const took = performance.now() - began;
  let answer;
  try {
    answer = JSON.parse(content);
  } catch {
    answer = null;
  }
  if (response.ok && answer) return { answer, took, digest: response.headers.get("x-model-digest") };
  throw new Refusal(
    answer?.detail ?? `${url.host} answered ${response.status} ${response.statusText}, and not as this service does.`,
    { status: response.status, code: answer?.error_code, id: answer?.correlation_id },
  );
}

function unreachable(url) {
  if (url.origin === location.origin) return `There is no answer from ${url.host}: is the service up, and the network?`;
  return `There is no answer from ${url.host} that the browser lets this page see. Either it is down, or it doesn't allow ` +
    `this page: its MLOPS_ALLOWED_ORIGINS must hold ${location.origin}.`;
}

/** Learns which model a service has, unless that is known. */
async function identify(service, digest, signal) {
  let model = models.get(service.base.href);
  if (!model || model.digest !== digest) {
    try {
      model = { digest, ...(await ask(service, "model-info", null, signal)).answer };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return;
    }
    models.set(service.base.href, model);
  }
  service.model = model;
  service.isNumber = model.problem_type === "regression";
}

const models = new Map();

/** Why there is no answer, for the reader; asks for the key where that is why. */
function refused(error, service) {
  if (error.name === "AbortError") throw error;
  const needsKey = error.status === 401;
  if (needsKey && service?.isOwn) {
    byId("key-field").hidden = false;
    ownKey.setAttribute("aria-invalid", "true");
    ownKey.focus();
  }
  const told = [error.code, error.id && `request ${error.id}`].filter(Boolean).join(", ");
  const shown = note(
    element("strong", null, needsKey ? "The service asks for an API key. " : "No answer. "),
    error.message,
    told ? element("small", null, told) : null,
  );
  shown.classList.add("bad");
  return shown;
}

// One text

async function askOne(service, asked, signal) {
  const { answer, took, digest } = await ask(service, "predict", { text: asked, all: true }, signal);
  await identify(service, digest, signal);
  const shown = cardOf(service);
  const words = element("div", null, element("p", { class: "words" }, asked.trim()));
  shown.append(
    element("p", { class: "verdict" }, answer.label, " ", element("span", null, scored(answer.score, service))),
    ...scoresOf(answer, service),
    element("h3", null, "Words"),
    words,
    element("p", { class: "facts" }, facts(answer, took)),
  );
  const said = `${answer.label}, ${scored(answer.score, service)}, in ${milliseconds(took)}`;
  return { shown, said, later: () => explain(service, asked, words, signal) };
}

function facts(answer, took) {
  return [
    `${milliseconds(took)} there and back`,
    answer.cached ? "kept from an equal text before" : `${milliseconds(answer.inference_time_ms)} in the model`,
    count(answer.text_length, "character"),
    answer.truncated ? "only the start was read, as much as the model reads at once" : null,
  ].filter(Boolean).join(" · ");
}

/** All scores as bars, those of the first labels at once. */
function scoresOf(answer, service) {
  const scores = answer.scores ?? [answer];
  const holding = new Set((answer.labels ?? [answer]).map(({ label }) => label));
  const largest = service.isNumber ? Math.max(...scores.map(({ score }) => Math.abs(score))) || 1 : 1;
  const rows = scores.map(({ label, score }) => element("tr", holding.has(label) ? { class: "holds" } : null,
    element("th", { scope: "row" }, label, answer.labels && holding.has(label) ? " ✓" : null),
    element("td", { class: "bar" }, bar(Math.abs(score) / largest, score < 0)),
    element("td", { class: "number" }, scored(score, service))));
  const shown = table({ class: "scores" }, "Score of each label", [
    head("Label"), head(element("span", { class: "unseen" }, "As a bar"), { class: "bar" }), head("Score", { class: "number" }),
  ], rows);
  if (rows.length <= FIRST_SCORES + 1) return [shown];
  for (const row of rows.slice(FIRST_SCORES)) row.hidden = true;
  const more = element("button", { type: "button", class: "link" }, `Show all ${rows.length} labels`);
  more.addEventListener("click", () => {
    for (const row of rows) row.hidden = false;
    more.remove();
  });
  return [shown, more];
}

/** Marks each word by how much it speaks for the label, or says why there is nothing to mark. */
async function explain(service, asked, words, signal) {
  try {
    const { answer } = await ask(service, "explain", { text: asked }, signal);
    words.replaceChildren(...explained(answer, service));
    const top = answer.top_contributing_words;
    return top.length ? `Speaks most for ${answer.prediction}: ${top.join(", ")}.` : "";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    words.append(element("p", { class: "how" }, `The words aren't coloured, as the service doesn't explain them: ${error.message}`));
    return "The words aren't explained.";
  }
}

function explained(answer, service) {
  // Spans count characters, as they are in Unicode.
  const characters = Array.from(answer.text);
  const between = (start, end) => characters.slice(start, end).join("");
  const found = answer.token_attributions;
  const largest = Math.max(...found.map(({ attribution }) => Math.abs(attribution)), service.isNumber ? 0 : 0.05);
  const marked = element("p", { class: "words" });
  let shownTo = 0;
  for (const { start, end, attribution } of found) {
    const share = Math.abs(attribution) / largest || 0;
    marked.append(between(shownTo, start));
    shownTo = end;
    if (share < LEAST_SHARE) {
      marked.append(between(start, end));
      continue;
    }
    const side = attribution > 0 ? "for" : "against";
    const word = element("span", { class: `word ${side}`, title: `${signed(attribution)} ${side} ${answer.prediction}` }, between(start, end));
    word.style.setProperty("--share", share);
    marked.append(word);
  }
  marked.append(between(shownTo, characters.length));
  const rows = found.map(({ token, attribution }) => element("tr", null,
    element("th", { scope: "row" }, token),
    element("td", null, attribution > 0 ? "for" : attribution < 0 ? "against" : ""),
    element("td", { class: "number" }, signed(attribution))));
  return [
    marked,
    element("p", { class: "how" },
      element("span", { class: "word for sample" }, "for"), " and ", element("span", { class: "word against sample" }, "against"),
      ` ${answer.prediction}: what its score loses without the word${answer.words_per_token > 1 ? `s, ${answer.words_per_token} at a time` : ""}.`,
      answer.text_truncated ? " Only the start is explained, as much as the model reads at once." : null),
    element("details", null, element("summary", null, "As a table"),
      table(null, `What each word does to the score of ${answer.prediction}`,
        [head("Word"), head("Speaks"), head("Share", { class: "number" })], rows)),
  ];
}

// Many texts

async function askMany(services, lines, signal) {
  const outcomes = await Promise.all(services.map((service) => ask(service, "predict/batch", { texts: lines }, signal)
    .then(async (outcome) => {
      await identify(service, outcome.digest, signal);
      return { ...outcome, service };
    })
    .catch((error) => ({ error, service }))));
  const answered = outcomes.filter(({ answer }) => answer);
  const shown = outcomes.map((outcome) => outcome.answer ? summaryOf(outcome) : cardOf(outcome.service, refused(outcome.error, outcome.service)));
  const said = outcomes.map(({ answer, took, error }) => answer
    ? `${count(answer.total_results, "text")} in ${milliseconds(took)}` : error.message);
  if (answered.length) {
    const { rows, different } = rowsOf(lines, answered);
    if (answered.length > 1) said.push(`the two differ on ${different} of ${count(lines.length, "text")}`);
    const heads = answered.map(({ service }) => head(answered.length > 1 ? service.name : "Label"));
    shown.push(element("article", { class: "wide" }, table({ class: "texts" }, "Each text and its label", [head("Text"), ...heads], rows)));
  }
  answers.replaceChildren(...shown);
  return `${said.join("; ")}.`;
}

/** Texts by their labels, and how fast that went. */
function summaryOf({ service, answer, took }) {
  const labels = new Map();
  for (const { label, error } of answer.results) {
    if (!error) labels.set(label, (labels.get(label) ?? 0) + 1);
  }
  const rows = [...labels].sort((a, b) => b[1] - a[1]).map(([label, texts]) => element("tr", null,
    element("th", { scope: "row" }, label),
    element("td", { class: "bar" }, bar(texts / answer.total_results)),
    element("td", { class: "number" }, String(texts))));
  return cardOf(service,
    table({ class: "scores" }, "Texts of each label", [
      head("Label"), head(element("span", { class: "unseen" }, "As a bar"), { class: "bar" }), head("Texts", { class: "number" }),
    ], rows),
    element("p", { class: "facts" }, [
      `${milliseconds(took)} there and back`,
      `${Math.round(answer.total_results / took * 1000)} texts a second`,
      answer.failed_results ? `${answer.failed_results} without an answer` : null,
    ].filter(Boolean).join(" · ")));
}

function rowsOf(lines, answered) {
  let different = 0;
  const rows = lines.map((line, index) => {
    const results = answered.map(({ answer }) => answer.results[index]);
    const differs = results.some(({ label }) => label !== results[0].label);
    different += differs;
    return element("tr", differs ? { class: "other" } : null,
      element("th", { scope: "row" }, line, differs ? element("small", null, "≠ the two differ") : null),
      ...results.map((result, place) => element("td", null, ...(result.error
        ? ["no answer", element("small", null, result.error)]
        : [result.label, element("small", null, scored(result.score, answered[place].service))]))));
  });
  return { rows, different };
}

// The page

function cardOf(service, ...children) {
  const digest = service.model?.model_digest?.slice(0, 19);
  return element("article", null,
    element("h2", null, service.name,
      service.model ? element("small", null, `${service.model.model_name}${digest ? ` · ${digest}…` : ""}`) : null),
    ...children);
}

const own = () => ({ ...serviceAt("", ownKey.value.trim()), name: "This service", isOwn: true });

/** The services that are asked: this one, and the other one if it is named. */
function services() {
  const address = other.value.trim();
  return address ? [own(), { ...serviceAt(address, otherKey.value.trim()), name: address }] : [own()];
}

let running;

async function submit(event) {
  event.preventDefault();
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  status.textContent = "Asking …";
  answers.replaceChildren();
  ownKey.removeAttribute("aria-invalid");
  try {
    const asked = services();
    const said = form.elements.many.value
      ? await askMany(asked, text.value.split("\n").filter((line) => line.trim()), signal)
      : await askEach(asked, text.value, signal);
    if (!signal.aborted) status.textContent = said;
  } catch (error) {
    if (signal.aborted) return;
    answers.replaceChildren(refused(error));
    status.textContent = error.message;
  }
}

/** The answers to one text side by side, with the words explained once all are there: that must not slow them down. */
async function askEach(asked, given, signal) {
  const outcomes = await Promise.all(asked.map((service) => askOne(service, given, signal)
    .catch((error) => ({ shown: cardOf(service, refused(error, service)), said: error.message }))));
  answers.replaceChildren(...outcomes.map(({ shown }) => shown));
  const name = (index) => asked.length > 1 ? `${asked[index].name}: ` : "";
  const said = outcomes.map((outcome, index) => `${name(index)}${outcome.said}.`.replace(/\.\.$/, "."));
  status.textContent = said.join(" ");
  const words = await Promise.all(outcomes.map(({ later }) => later?.()));
  return [...said, ...words.filter(Boolean)].join(" ");
}

function begin() {
  byId("unstarted").remove();
  byId("key-field").hidden = !key;
  byId("origins").append(...otherOrigins.map((origin) => element("option", { value: origin })));
  byId("other-how").textContent = otherOrigins.length
    ? `A path on this host, such as /staging/, or one at ${otherOrigins.join(", ")}.`
    : "A path on this host, such as /staging/. Those at other hosts have to be named in MLOPS_PLAYGROUND_ORIGINS.";
  form.addEventListener("submit", submit);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

begin();
