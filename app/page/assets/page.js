// The page: a photo and its options in; the mesh, what is known of it, and a file out.

import { readGlb } from "./glb.js";
import { Problem, apiKey, readiness, reconstruct } from "./service.js";
import { Viewer } from "./viewer.js";

const MEDIA_TYPES = { glb: "model/gltf-binary", obj: "model/obj", stl: "model/stl", ply: "application/x-ply" };
const LOW_COVERAGE = 0.8;

const at = (id) => document.getElementById(id);
const form = at("form");
const number = (value, digits = 3) => new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);

let photo = null; // File
let made = null; // { fields: FormData it came from, buffer: GLB }
let running = null; // AbortController
let viewer = null;
try {
  viewer = new Viewer(at("canvas"));
} catch {
  at("empty").textContent = "This browser cannot show 3D (WebGL2). Making and downloading the mesh works all the same.";
}

// ---- the photo

function choose(file) {
  if (!file) return;
  photo = file;
  clearProblem();
  const preview = at("preview");
  URL.revokeObjectURL(preview.src);
  preview.onload = () => (preview.hidden = false);
  preview.onerror = () => (preview.hidden = true); // TIFF: the service reads it, the browser does not
  preview.src = URL.createObjectURL(file);
  at("prompt").textContent = file.name;
  at("photo-hint").textContent = "Choose or drop another one to replace it.";
}

for (const id of ["choose", "camera-shot"]) {
  at(id).addEventListener("change", (event) => choose(event.target.files[0]));
}
const drop = at("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  // Anywhere on the page: a photo that misses the field would replace the page.
  document.addEventListener(kind, (event) => {
    if (event.target.name === "mask") return; // that field takes its own
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => choose(event.clipboardData.files[0]));

// ---- the request

/** What the form holds, without what was left empty, lengths in metres. */
function fieldsOf() {
  const fields = new FormData(form);
  for (const [name, value] of [...fields]) {
    if (value === "" || (value instanceof File && !value.size)) fields.delete(name);
  }
  for (const input of form.querySelectorAll("[data-metres]")) {
    if (fields.has(input.name)) fields.set(input.name, String(input.value * input.dataset.metres));
  }
  if (!fields.has("size")) fields.delete("size_axis");
  fields.set("image", photo);
  return fields;
}

/** Runs `work(signal)` with the page showing that it waits; a Problem is shown, a cancel is not. */
async function waiting(work) {
  running?.abort();
  const mine = (running = new AbortController());
  if (at("key").value) apiKey.set(at("key").value);
  const begin = performance.now();
  const tick = () => (at("elapsed").textContent = `${((performance.now() - begin) / 1000).toFixed(1)} s`);
  const clock = setInterval(tick, 100);
  tick();
  clearProblem();
  setBusy(true);
  at("said").textContent = "Working.";
  try {
    await work(mine.signal);
    at("key-field").hidden = true;
    at("key").value = "";
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error);
    else at("said").textContent = "Cancelled.";
  } finally {
    clearInterval(clock);
    if (running === mine) setBusy(false);
  }
}

function setBusy(busy) {
  at("working").hidden = at("cancel").hidden = !busy;
  at("submit").disabled = at("download").disabled = busy;
  at("result").setAttribute("aria-busy", busy);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!photo) {
    showProblem(new Problem({ title: "No photo yet", detail: "Choose one, drop it on the page, or paste it." }));
    at("choose").focus();
    return;
  }
  const badNumber = [...form.elements].find((field) => field.validity?.badInput);
  if (badNumber) {
    badNumber.setAttribute("aria-invalid", "true");
    showProblem(new Problem({ title: "A field is not a number", detail: badNumber.name }), badNumber);
    return;
  }
  waiting(async (signal) => {
    const fields = fieldsOf();
    const { buffer, stages } = await reconstruct(fields, MEDIA_TYPES.glb, signal);
    made = { fields, buffer };
    show(readGlb(buffer), stages);
  });
});
at("cancel").addEventListener("click", () => running?.abort());

// ---- the mesh

function show(mesh, stages) {
  const { facts } = mesh;
  const metric = facts.units === "metre";
  const cell = viewer?.show(mesh);
  at("empty").hidden = Boolean(viewer);
  at("views").hidden = !viewer;
  at("scale").hidden = !viewer;
  at("scale").textContent = [
    metric && `Grid: ${lengthOf(cell)}`,
    mesh.vertexAttributes.observed && "Orange: not seen in the photo",
  ].filter(Boolean).join(". ");

  const sides = mesh.low.map((value, axis) => mesh.high[axis] - value);
  const size = metric ? lengthOf(...sides) : sides.map((side) => number(side, 3)).join(" × ");
  const { total, ...parts } = Object.fromEntries(stages);
  const seconds = total ?? Object.values(parts).reduce((sum, value) => sum + value, 0);
  const longest = Object.entries(parts).filter(([, value]) => value >= 0.01).map(([stage, value]) => `${stage} ${value.toFixed(2)}`);
  const coverage = facts.silhouette_coverage;
  const entries = [
    ["Width × height × depth", size, metric ? "" : "No unit: no real size was given."],
    ["Faces", number(mesh.indices.length / 3, 12)],
    ["Watertight", facts.watertight ? "yes" : "no"],
    metric && facts.watertight && ["Volume", `${number(facts.volume * 1e6)} cm³`],
    coverage !== undefined && [
      "Outline met",
      `${Math.floor(100 * coverage)} %`,
      coverage < LOW_COVERAGE ? "Low: parts of the object are missing." : "",
    ],
    facts.bundle && ["Bundle", facts.bundle],
  ].filter(Boolean);
  at("facts").replaceChildren(
    ...entries.map(([term, value, remark]) => {
      const entry = document.createElement("div");
      entry.append(element("dt", term), element("dd", value));
      if (remark) entry.lastChild.append(element("small", remark));
      return entry;
    }),
  );
  at("timing").textContent = `${seconds.toFixed(2)} s: ${longest.join(", ")}`;
  at("outcome").hidden = false;
  labelDownload();
  const words = `A mesh of ${number(mesh.indices.length / 3, 12)} faces, ${size}.`;
  at("canvas").setAttribute("aria-label", words);
  at("said").textContent = words;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("canvas").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}

/** Metres -> `120 × 80 × 42 mm`, in m from 10 m on. */
function lengthOf(...metres) {
  const [factor, unit] = Math.max(...metres) < 10 ? [1000, "mm"] : [1, "m"];
  return `${metres.map((value) => number(value * factor, 4)).join(" × ")} ${unit}`;
}

for (const button of at("views").children) {
  button.addEventListener("click", () => viewer?.look(button.dataset.pose));
}

// ---- the file

function labelDownload() {
  const bytes = made.buffer.byteLength;
  const size = bytes < 1e6 ? `${number(bytes / 1e3, 3)} kB` : `${number(bytes / 1e6, 3)} MB`;
  at("download").textContent = at("format").value === "glb" ? `Download, ${size}` : "Download";
}
at("format").addEventListener("change", labelDownload);

at("download").addEventListener("click", () => {
  const format = at("format").value, { fields, buffer } = made;
  if (format === "glb") return save(buffer, format);
  waiting(async (signal) => {
    const again = new FormData();
    for (const [name, value] of fields) again.append(name, value);
    if (format !== "ply") again.delete("confidence"); // the other formats have no place for it
    again.set("format", format);
    save((await reconstruct(again, MEDIA_TYPES[format], signal)).buffer, format);
  });
});

function save(buffer, format) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([buffer], { type: MEDIA_TYPES[format] }));
  link.download = `${photo.name.replace(/\.[^.]*$/, "") || "part"}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  at("said").textContent = `Saved as ${link.download}.`;
}

// ---- what goes wrong

function showProblem(error, focus = null) {
  const known = error instanceof Problem ? error : new Problem({ title: "The page failed", detail: String(error.message ?? error) });
  const box = at("problem");
  box.replaceChildren(element("strong", known.title));
  if (known.errors.length) {
    const list = document.createElement("ul");
    list.append(...known.errors.map(({ field, message }) => element("li", `${field}: ${message}`)));
    box.append(list);
  } else if (known.status === 401) {
    box.append(element("p", "Enter one in the field above, and try again."));
  } else if (known.detail) {
    box.append(element("p", known.detail));
  }
  if (known.retryAfter) box.append(element("p", `Try again in ${known.retryAfter} s.`));
  if (known.instance) box.append(element("small", known.instance.replace("urn:monotwin:", "").replace(":", " ")));
  box.hidden = false;
  for (const { field } of known.errors) {
    const input = form.elements[field];
    input?.setAttribute("aria-invalid", "true");
    if (input) input.closest("details")?.setAttribute("open", "");
    focus ??= input;
  }
  if (known.status === 401) {
    apiKey.set(null);
    at("key").value = "";
    at("key-field").hidden = false;
    focus = at("key");
  }
  focus?.focus?.();
  box.scrollIntoView({ block: "nearest" });
}

function clearProblem() {
  at("problem").hidden = true;
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// ---- whether the service is ready

const RETRY_SECONDS = 2;
async function tellReadiness() {
  const said = at("readiness");
  try {
    const { bundle, provider } = await readiness();
    said.dataset.state = "ready";
    said.textContent = `Ready: ${bundle.name} ${bundle.version} on ${provider.replace("ExecutionProvider", "")}`;
  } catch (error) {
    said.dataset.state = "wrong";
    said.textContent = error.detail || error.title || String(error);
    setTimeout(tellReadiness, 1000 * RETRY_SECONDS);
  }
}
tellReadiness();
