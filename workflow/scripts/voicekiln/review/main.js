// Playing, keys and buttons.

const audio = new Audio();
audio.preload = "auto";
let playing = -1; // the segment that is played
let until = Infinity; // time at which playback stops

// Play the current segment with its surroundings, from a given time, or exactly the segment.
function play(from_s = null, exactly = false) {
  const i = current();
  if (i < 0) return;
  const recording = DATA.recordings[S.recording[i]];
  const url = `audio/${recording.item.slice(0, 2)}/${recording.item}.flac`;
  if (audio.getAttribute("src") !== url) audio.src = url;
  playing = i;
  until = exactly ? spanOf(i)[1] : playedTo(i);
  audio.currentTime = from_s ?? (exactly ? spanOf(i)[0] : playedFrom(i));
  audio.playbackRate = Number($("speed").value);
  audio.play().catch((error) => {
    if (error.name !== "AbortError") show(`${recording.path}: cannot be played (${error.message})`);
  });
  requestAnimationFrame(follow);
}

function follow() {
  if (playing < 0) return;
  if (!audio.paused && audio.currentTime >= until) audio.pause();
  const over = audio.ended || (audio.paused && audio.currentTime >= until - 0.05);
  if (playing === current()) drawWave($("wave"), playing, over ? null : audio.currentTime);
  if (!audio.paused) requestAnimationFrame(follow);
}
audio.addEventListener("timeupdate", () => {
  if (!audio.paused && playing >= 0 && audio.currentTime >= until) audio.pause();
});
audio.addEventListener("error", () => {
  if (audio.error) show(`${audio.getAttribute("src")}: cannot be played; is the folder audio next to this page?`);
});
for (const event of ["play", "pause", "ended"]) {
  audio.addEventListener(event, () => ($("play").textContent = audio.paused ? "Play" : "Pause"));
}

function togglePlay() {
  const i = current();
  if (!audio.paused && playing === i) return audio.pause();
  const within = playing === i && audio.currentTime > playedFrom(i) && audio.currentTime < playedTo(i) - 0.1;
  play(within ? audio.currentTime : null);
}

function select(position) {
  if (!shown.length) at = -1;
  else {
    const before = at;
    at = Math.max(0, Math.min(shown.length - 1, position));
    const list = $("list");
    const top = at * rowHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + rowHeight > list.scrollTop + list.clientHeight) {
      list.scrollTop = top + rowHeight - list.clientHeight;
    }
    drawList();
    drawRow(before);
    drawRow(at);
    list.setAttribute("aria-activedescendant", `row-${shown[at]}`);
  }
  if (playing !== current()) {
    audio.pause();
    playing = -1;
  }
  drawEditor();
  if (at >= 0 && $("autoplay").checked) play();
}

function filter() {
  const i = current();
  const value = (id) => $(id).value;
  shown = filtered({
    query: value("query"), state: value("state"), reason: value("reason"), speaker: value("speaker"),
    reviewed: value("reviewed"), from: value("confidence-from"), to: value("confidence-to"), order: value("order"),
  });
  at = -1;
  $("list").scrollTop = 0;
  redrawList();
  const n = shown.length;
  $("count").textContent = `${n.toLocaleString("en")} segment${n === 1 ? "" : "s"}`;
  select(Math.max(0, shown.indexOf(i)));
}

function change(changes) {
  const i = current();
  if (i < 0) return;
  decide(i, changes);
  drawRow(at);
  drawEditor();
  drawProgress();
}
const mark = (status) => change({ status: decided(current())?.status === status ? null : status });
function undo() {
  if (current() >= 0 && decided(current())) change({ text: null, status: null, span: null });
}
// Move the edges of the current segment, within the possible range.
function moveEdges(start, end) {
  const i = current();
  if (i < 0) return;
  const span = possibleSpan(i, [start, end]);
  const wanted = [start, end].some((s, side) => Math.abs(s - span[side]) > 0.0015);
  change({ span });
  if (wanted) show("The edge cannot move further: the next segment or the end of the waveform is there.");
}
function nudge(side, by_s) {
  const span = [...spanOf(current())];
  span[side] += by_s;
  moveEdges(...span);
}
function saveText() {
  const text = $("text").value.replace(/\s*\n\s*/g, " ").trim();
  if (current() >= 0 && text !== textOf(current())) change({ text });
}
function leaveText() {
  $("list").focus();
}

function nextOpen() {
  for (let position = at + 1; position < shown.length; position++) {
    if (!decided(shown[position])) return select(position);
  }
  show("All segments below are reviewed.");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([correctionsFile()], { type: "application/jsonl" }));
  link.download = "corrections.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  unsaved = false;
  keepProgress();
  drawProgress();
  show("Saved as corrections.jsonl in your downloads folder.");
}

async function open(file) {
  try {
    const [fitting, rest] = openCorrections(await file.text());
    show(`${fitting} corrections imported` + (rest ? `; ${rest} match no segment on this page` : ""));
  } catch (error) {
    show(`${file.name}: ${error.message}`);
  }
  redrawList();
  drawEditor();
  drawProgress();
}

const NUDGE_S = 0.02;
const KEYS = {
  j: () => select(at + 1), ArrowDown: () => select(at + 1),
  k: () => select(at - 1), ArrowUp: () => select(at - 1),
  Home: () => select(0), End: () => select(shown.length - 1),
  PageDown: () => select(at + Math.floor($("list").clientHeight / rowHeight)),
  PageUp: () => select(at - Math.floor($("list").clientHeight / rowHeight)),
  n: nextOpen,
  " ": togglePlay,
  e: () => $("text").focus(), Enter: () => $("text").focus(),
  a: () => { change({ status: "keep" }); select(at + 1); },
  x: () => { change({ status: "drop" }); select(at + 1); },
  u: undo,
  1: () => nudge(0, -NUDGE_S), 2: () => nudge(0, NUDGE_S),
  3: () => nudge(1, -NUDGE_S), 4: () => nudge(1, NUDGE_S),
  p: () => play(null, true),
  s: save,
  "/": () => $("query").focus(),
  "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.isComposing || $("help").open) return;
  const here = event.target;
  if (event.key === " " && event.ctrlKey && here === $("text")) {
    event.preventDefault();
    return togglePlay();
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (here === $("text")) {
    if (event.key === "Enter") {
      event.preventDefault();
      saveText();
      leaveText();
      if (event.shiftKey) select(at + 1);
    } else if (event.key === "Escape") {
      $("text").value = textOf(current());
      leaveText();
    }
    return;
  }
  if (here.closest("#filters") && (event.key === "Escape" || (here === $("query") && event.key === "Enter"))) {
    event.preventDefault();
    return leaveText();
  }
  if (["INPUT", "SELECT", "TEXTAREA"].includes(here.tagName) && here.type !== "checkbox") return;
  if ([" ", "Enter"].includes(event.key) && here.closest("button, summary, label, input")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

$("list").addEventListener("scroll", drawList, { passive: true });
$("space").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row) return;
  select(Number(row.dataset.position));
  if (event.target.tagName === "CANVAS") play();
});

// In the large waveform, an edge can be dragged; a click elsewhere plays from there.
const GRIP_PX = 9;
let dragged = null; // side of the edge that is being dragged
const timeAt = (event) => {
  const [from, to] = [playedFrom(current()), playedTo(current())];
  return from + (event.offsetX / $("wave").clientWidth) * (to - from);
};
function edgeAt(event) {
  const [from, to] = [playedFrom(current()), playedTo(current())];
  const x = (s) => ((s - from) / (to - from)) * $("wave").clientWidth;
  const away = spanOf(current()).map((s) => Math.abs(x(s) - event.offsetX));
  const side = away[0] <= away[1] ? 0 : 1;
  return away[side] <= GRIP_PX ? side : null;
}
$("wave").addEventListener("pointerdown", (event) => {
  if (current() < 0 || event.button !== 0) return;
  dragged = edgeAt(event);
  if (dragged === null) return play(timeAt(event));
  $("wave").setPointerCapture(event.pointerId);
});
$("wave").addEventListener("pointermove", (event) => {
  if (current() < 0) return;
  $("wave").classList.toggle("grip", dragged !== null || edgeAt(event) !== null);
  if (dragged === null) return;
  const span = [...spanOf(current())];
  span[dragged] = timeAt(event);
  change({ span: possibleSpan(current(), span) });
});
for (const event of ["pointerup", "pointercancel"]) {
  $("wave").addEventListener(event, () => (dragged = null));
}
$("text").addEventListener("blur", saveText);
$("play").addEventListener("click", togglePlay);
$("keep").addEventListener("click", () => mark("keep"));
$("drop").addEventListener("click", () => mark("drop"));
$("undo").addEventListener("click", undo);
$("speed").addEventListener("change", () => (audio.playbackRate = Number($("speed").value)));
$("save").addEventListener("click", save);
$("import").addEventListener("change", () => {
  if ($("import").files.length) open($("import").files[0]);
  $("import").value = "";
});
$("import-button").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") $("import").click();
});
$("help-button").addEventListener("click", () => $("help").showModal());
$("close").addEventListener("click", () => $("help").close());
$("filters").addEventListener("input", filter);
$("filters").addEventListener("reset", () => setTimeout(filter));
$("filters").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("resize", () => { redrawList(); drawEditor(); });
window.addEventListener("beforeunload", (event) => { if (unsaved && !stored) event.preventDefault(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redrawList(); drawEditor(); });

function options(select, entries) {
  for (const [value, name] of [["", "all"], ...entries]) select.append(new Option(name, value));
}
const counts = new Map();
S.reason.forEach((r) => counts.set(r, (counts.get(r) ?? 0) + 1));
options($("reason"), DATA.reasons.map(([step, reason], r) => [r, `${step}: ${reason} (${counts.get(r)})`]));
options($("speaker"), DATA.names.speaker.map((name, s) => [s, name]));
const conflicts = DATA.corrections.filter((line) => line.why);
$("conflicts").hidden = !conflicts.length;
$("conflicts").firstElementChild.textContent =
  `${conflicts.length} correction${conflicts.length === 1 ? " was" : "s were"} not applied`;
for (const { line, raw, why } of conflicts.slice(0, 200)) {
  const entry = document.createElement("li");
  const code = document.createElement("code");
  code.textContent = raw;
  code.dir = "auto";
  entry.append(`line ${line}: ${why} `, code);
  $("conflicts").lastElementChild.append(entry);
}
if (conflicts.length > 200) $("conflicts").lastElementChild.append("… tables/correct/conflicts.jsonl has all of them.");
$("more").open = innerWidth > 820;
const restored = restoreProgress();
filter();
drawProgress();
$("list").focus({ preventScroll: true });
if (restored) show(`${restored} unsaved decisions of an earlier page were restored.`);
