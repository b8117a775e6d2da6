// A light load that comes in waves, with all that the services' dashboard shows; for pictures, not for measurements:
//
//   node load.mjs MINUTES URL...      such as http://localhost:8000/api/v1
import http from "node:http";

const [minutes, ...services] = process.argv.slice(2);
const begin = Date.now();
const end = begin + Number(minutes) * 60_000;
const WAVE_MS = 5 * 60_000;
const THINGS = ["battery", "screen", "keyboard", "lamp", "delivery", "support", "manual", "sound", "handle", "price"];
const VERDICTS = [
  "is gorgeous, and I would buy it again",
  "broke after a week and nobody answers my mails",
  "does what it says",
  "is fine for the money, but the colour is not what the picture shows",
  "was a waste of an afternoon",
];

const pick = (choices) => choices[Math.floor(Math.random() * choices.length)];
const list = (count, make) => Array.from({ length: count }, make);
const sentence = () => `The ${pick(THINGS)} ${pick(VERDICTS)}.`;
/** Short ones come again, long ones hardly. */
const text = () => list(1 + Math.floor(8 * Math.random() ** 3), sentence).join(" ");
const texts = (count) => list(count, text);

/** Each request has a connection of its own, so that all pods of a service get some. */
function post(url, body) {
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json" };
    const request = http.request(url, { method: "POST", headers, agent: false, timeout: 20_000 }, (response) => {
      let content = "";
      response.on("data", (part) => (content += part));
      response.on("end", () => resolve(content));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(""));
    request.end(JSON.stringify(body));
  });
}

async function predict(url) {
  const answer = await post(`${url}/predict`, { text: text() });
  if (Math.random() > 0.1 || !answer.includes("prediction_id")) return;
  const { prediction_id, label } = JSON.parse(answer);
  const corrected_label = Math.random() < 0.8 ? label : pick(["POSITIVE", "NEGATIVE"]);
  await post(`${url}/feedback`, { prediction_id, corrected_label });
}

/** More at once than a short queue takes. */
const burst = (url) => Promise.all(texts(40).map((text) => post(`${url}/predict`, { text: `${text} ${Math.random()}` })));
const job = (url) => post(`${url}/batch/predict`, { texts: texts(100), priority: pick(["high", "medium", "medium", "low"]) });

const RARE = [
  [0.04, (url) => post(`${url}/predict`, { text: "" })],
  [0.05, (url) => post(`${url}/predict/batch`, { texts: texts(8) })],
  [0.012, job],
  [0.006, burst],
];

async function call(url, wave) {
  while (Date.now() < end) {
    const phase = (2 * Math.PI * (Date.now() - begin)) / WAVE_MS + wave;
    const pause = 1000 / (4 + 3 * Math.sin(phase));
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    let chance = Math.random();
    const rare = RARE.find(([share]) => (chance -= share) < 0);
    void (rare ? rare[1] : predict)(url);
  }
}

await Promise.all(services.map((url, index) => call(url, index)));
