// Asks the service, and turns its refusals into Problems.

const KEY = "monotwin.key"; // in sessionStorage: gone with the tab

/** An RFC 9457 document: title, detail, status, errors [{ field, message }], retryAfter in seconds or null. */
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, errors = [], instance = "" }, retryAfter = null) {
    super(title);
    Object.assign(this, { title, detail, status, errors, instance, retryAfter });
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY),
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/** FormData -> { buffer: the mesh file, stages: Map of stage -> seconds }. Throws Problem, or AbortError by the signal. */
export async function reconstruct(fields, mediaType, signal) {
  const headers = { Accept: mediaType };
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  const answer = await ask("reconstruct", { method: "POST", body: fields, headers, signal });
  return { buffer: await answer.arrayBuffer(), stages: stagesOf(answer.headers.get("Server-Timing") ?? "") };
}

/** What GET /health/ready says. Throws Problem while the service is not ready. */
export async function readiness() {
  return (await ask("health/ready", {})).json();
}

async function ask(path, request) {
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service does not answer", detail: "Is it running, and is the network there?" });
  }
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({})); // a proxy on the way may answer in HTML
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  throw new Problem({ title: `The service answered ${answer.status}`, status: answer.status, ...found }, retryAfter);
}

/** `prepare;dur=12.0, query;dur=340.5` -> Map { prepare: 0.012, query: 0.3405 } */
export function stagesOf(serverTiming) {
  const entries = serverTiming.matchAll(/([\w-]+)\s*;[^,]*?dur=([\d.]+)/g);
  return new Map([...entries].map(([, stage, milliseconds]) => [stage, Number(milliseconds) / 1000]));
}
