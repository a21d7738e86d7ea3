// Drawing: the visible rows, waveforms, and the selected segment.

const $ = (id) => document.getElementById(id);
const OVERSCAN = 6; // rows beyond both edges of the window
const row_px = () => parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"), 10);
let rowHeight = row_px();
let shown = []; // segments that match the filters, in order
let at = -1; // position in `shown` of the selected segment
const rows = new Map(); // position -> element, of the rows in the document

const current = () => (at >= 0 ? shown[at] : -1);
const fullScale = (i) => Uint8Array.from(atob(S.peaks[i]), (c) => c.charCodeAt(0));
const seconds = (s) => {
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  const rest = (s % 60).toFixed(1).padStart(4, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${rest}` : `${m}:${rest}`;
};
const playedFrom = (i) => Math.max(0, S.start_s[i] - DATA.context_s);
const playedTo = (i) =>
  Math.min(DATA.recordings[S.recording[i]].seconds, S.end_s[i] + DATA.context_s);

function drawWave(canvas, i, played_s = null) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
  pen.scale(scale, scale);
  const peaks = fullScale(i);
  const top = Math.max(8, ...peaks);
  const [from, to] = [playedFrom(i), playedTo(i)];
  const x = (s) => ((s - from) / (to - from)) * width;
  const [start, end] = spanOf(i);
  const bars = Math.min(peaks.length, Math.floor(width / 3));
  const [inside, outside] = [colour(statusOf(i) === "drop" ? "--lost" : "--kept"), colour("--quiet")];
  for (let b = 0; b < bars; b++) {
    const part = peaks.subarray(Math.floor((b * peaks.length) / bars),
      Math.floor(((b + 1) * peaks.length) / bars));
    const left = (b * width) / bars;
    const middle = from + ((b + 0.5) / bars) * (to - from);
    const tall = Math.max(1.5, (Math.max(...part) / top) * (height - 2));
    pen.fillStyle = middle >= start && middle < end ? inside : outside;
    pen.fillRect(left, (height - tall) / 2, Math.max(1, width / bars - 1), tall);
  }
  if (canvas === $("wave")) {
    pen.fillStyle = inside;
    for (const edge of [start, end]) {
      pen.fillRect(x(edge) - 1, 0, 2, height);
      pen.fillRect(x(edge) - 4, 0, 8, 5);
    }
  }
  if (played_s === null) return;
  pen.fillStyle = colour("--ink");
  pen.fillRect(x(played_s) - 1, 0, 2, height);
}

function reasonOf(i) {
  if (S.reason[i] < 0) return "";
  const [, reason] = DATA.reasons[S.reason[i]];
  const value = S.value[i] === null ? "" : ` (${S.value[i]}, limit ${S.limit[i]})`;
  return reason + value;
}

const MARKS = { keep: "kept", drop: "dropped" };
function fillRow(row, position) {
  const i = shown[position];
  const own = decided(i);
  row.style.top = `${position * rowHeight}px`;
  row.id = `row-${i}`;
  row.dataset.position = position;
  row.setAttribute("aria-posinset", position + 1);
  row.setAttribute("aria-setsize", shown.length);
  row.setAttribute("aria-selected", position === at);
  row.classList.toggle("dropped", statusOf(i) === "drop");
  const text = row.querySelector(".text");
  text.textContent = textOf(i) || "no text";
  text.classList.toggle("absent", !textOf(i));
  text.lang = DATA.names.language[S.language[i]] ?? "";
  const mark = row.querySelector(".mark");
  const marks = [];
  if (own?.text != null) marks.push("edited");
  if (own?.span) marks.push("edges moved");
  if (own?.status) marks.push(MARKS[own.status]);
  mark.textContent = marks.join(", ");
  mark.hidden = !own;
  row.querySelector(".why").textContent = own?.status ? "" : reasonOf(i);
  const confidence = S.confidence[i] === null ? [] : [`confidence ${S.confidence[i].toFixed(2)}`];
  const who = DATA.names.speaker[S.speaker[i]];
  row.querySelector(".who").textContent =
    [...confidence, `${length_s(i).toFixed(1)} s`, ...(who ? [who] : [])].join(" · ");
  drawWave(row.querySelector("canvas"), i);
}

// Keep only the visible rows in the document.
function drawList() {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / rowHeight) - OVERSCAN);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + OVERSCAN);
  for (const [position, row] of rows) {
    if (position < first || position >= last) {
      row.remove();
      rows.delete(position);
    }
  }
  for (let position = first; position < last; position++) {
    if (rows.has(position)) continue;
    const row = $("row").content.firstElementChild.cloneNode(true);
    $("space").append(row);
    rows.set(position, row);
    fillRow(row, position);
  }
}

function redrawList() {
  for (const row of rows.values()) row.remove();
  rows.clear();
  rowHeight = row_px();
  $("space").style.height = `${shown.length * rowHeight}px`;
  drawList();
}

function drawRow(position) {
  const row = rows.get(position);
  if (row) fillRow(row, position);
}

function show(text) {
  $("message").textContent = text;
  clearTimeout(show.timer);
  show.timer = setTimeout(() => ($("message").textContent = ""), 6000);
}

function addFact(name, value) {
  if (value === null || value === "") return;
  const term = document.createElement("dt");
  const definition = document.createElement("dd");
  term.textContent = name;
  definition.textContent = value;
  $("facts").append(term, definition);
}

function drawEditor() {
  const i = current();
  $("none").hidden = i >= 0;
  $("current").hidden = i < 0;
  if (i < 0) return;
  const own = decided(i);
  const lang = DATA.names.language[S.language[i]] ?? "";
  const [start, end] = spanOf(i);
  $("where").textContent = `${pathOf(i)}  ${seconds(start)} – ${seconds(end)}`;
  $("text").value = textOf(i);
  $("text").lang = lang;
  $("keep").setAttribute("aria-pressed", own?.status === "keep");
  $("drop").setAttribute("aria-pressed", own?.status === "drop");
  $("undo").disabled = !own;
  $("others").replaceChildren();
  const before = own?.text != null && own.text !== S.text[i] ? S.text[i] : "";
  for (const [name, text] of [["before the edit", before], ["raw text", S.raw_text[i]], ["hypothesis", S.hypothesis[i]]]) {
    if (!text) continue;
    const line = document.createElement("p");
    const label = document.createElement("span");
    const quoted = document.createElement("bdi");
    label.textContent = name;
    quoted.textContent = text;
    quoted.lang = lang;
    line.append(label, " ", quoted);
    $("others").append(line);
  }
  $("facts").replaceChildren();
  const split = { train: "kept, training", val: "kept, validation" };
  addFact("status", S.dropped[i] ? "dropped" : (split[S.split[i]] ?? "kept"));
  if (S.dropped[i]) addFact("reason", `${reasonOf(i)}, by ${DATA.reasons[S.reason[i]][0]}`);
  addFact("confidence", S.confidence[i]);
  addFact("length", `${length_s(i).toFixed(2)} s`);
  if (own?.span) {
    const by = cutSpan(i).map((s, side) => Math.round((own.span[side] - s) * 1000));
    addFact("edges moved", by.map((ms) => `${ms > 0 ? "+" : ""}${ms} ms`).join(", "));
  }
  addFact("speaker", DATA.names.speaker[S.speaker[i]] ?? "");
  addFact("source of the text", DATA.names.text_source[S.text_source[i]] ?? "");
  addFact("CER of the hypothesis", S.cer[i]);
  addFact("agreement of two decodes", S.agreement[i]);
  addFact("mean log-probability", S.avg_logprob[i]);
  addFact("acoustic score", S.acoustic_score[i]);
  addFact("signal-to-noise ratio", S.snr_db[i] === null ? null : `${S.snr_db[i]} dB`);
  if (S.mos_overall && S.mos_overall[i] !== null) {
    const parts = `speech ${S.mos_signal[i]}, background ${S.mos_background[i]}`;
    addFact("predicted MOS", `${S.mos_overall[i]} (${parts})`);
  }
  drawWave($("wave"), i);
}

function drawProgress() {
  let done = 0;
  for (let i = 0; i < N; i++) done += decided(i) !== null;
  $("bar").max = N;
  $("bar").value = done;
  const volatile = stored ? "" : " · this browser does not store progress: save often";
  $("progress").textContent =
    `${done.toLocaleString("en")} of ${N.toLocaleString("en")} reviewed${unsaved ? " · unsaved" : ""}${volatile}`;
}
