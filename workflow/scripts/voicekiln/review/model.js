"use strict";
// The page's data, the decisions about it, and the corrections file made from them.

const DATA = JSON.parse(document.getElementById("data").textContent);
const S = DATA.segments;
const N = S.text.length;
const MIN_OVERLAP = 0.9; // as corpus/corrections.py
const LEAST_S = 0.1; // as corpus/respan.py
const PLACE = `voicekiln-review/${DATA.corpus}/`;

const lower = (text) => text.toLocaleLowerCase();
const nameOf = (i) => {
  const id = DATA.recordings[S.recording[i]].sha.slice(0, 16);
  return `${id}:${S.start_s[i]}:${S.end_s[i]}`;
};

// Decision in a line of the corrections file: {text, status, span}, each null if not decided.
const decisionOf = (row) => ({
  text: row.text ?? null,
  status: row.status ?? null,
  span: row.new_start_s == null ? null : [row.new_start_s, row.new_end_s],
});
const decidesNothing = ({ text, status, span }) => text === null && status === null && span === null;

// Corrections in the user's file, by segment; a decision made here replaces them.
const inFile = new Map();
for (const line of DATA.corrections) {
  if (line.segment < 0) continue;
  const row = JSON.parse(line.raw);
  inFile.set(line.segment, { ...decisionOf(row), row });
}

// Decisions made here, by segment; an empty decision undoes the file's.
const decisions = new Map();
let others = []; // lines of an opened file that match no segment on this page
let stored = true; // whether the browser stores our progress
let unsaved = false;

function decided(i) {
  const own = decisions.get(i) ?? inFile.get(i);
  return own && !decidesNothing(own) ? own : null;
}
const textOf = (i) => decided(i)?.text ?? S.text[i];
const statusOf = (i) => decided(i)?.status ?? (S.dropped[i] ? "drop" : "keep");

// The original span of a segment; if its edges were moved, the page lists the new one.
function cutSpan(i) {
  const line = inFile.get(i);
  return line?.span ? [line.row.start_s, line.row.end_s] : [S.start_s[i], S.end_s[i]];
}
const spanOf = (i) => decided(i)?.span ?? cutSpan(i);

// The span nearest to `span` that is inside the waveform and overlaps no listed segment.
function possibleSpan(i, [start, end]) {
  let [from, to] = [playedFrom(i), playedTo(i)];
  const middle = (spanOf(i)[0] + spanOf(i)[1]) / 2;
  for (const k of neighbours(i)) {
    const [first, last] = spanOf(k);
    if (last <= middle) from = Math.max(from, last);
    else if (first >= middle) to = Math.min(to, first);
  }
  const round = (s) => Math.round(s * 1000) / 1000;
  // whole milliseconds, rounded into the bounds
  [from, to] = [Math.ceil(from * 1000 - 1e-6) / 1000, Math.floor(to * 1000 + 1e-6) / 1000];
  start = Math.min(Math.max(round(start), from), to - LEAST_S);
  end = Math.max(Math.min(round(end), to), start + LEAST_S);
  return [start, round(end)];
}

let byRecording = null; // the segments of each recording, for `neighbours`
function neighbours(i) {
  if (!byRecording) {
    byRecording = new Map();
    for (let k = 0; k < N; k++) {
      if (!byRecording.has(S.recording[k])) byRecording.set(S.recording[k], []);
      byRecording.get(S.recording[k]).push(k);
    }
  }
  return byRecording.get(S.recording[i]).filter((k) => k !== i);
}

function decide(i, change) {
  const before = decided(i) ?? { text: null, status: null, span: null };
  const now = { text: before.text, status: before.status, span: before.span, ...change };
  if (now.text === S.text[i] && inFile.get(i)?.text == null) now.text = null;
  const cut = cutSpan(i);
  if (now.span && now.span.every((s, side) => Math.abs(s - cut[side]) < 0.0005)) now.span = null;
  if (decidesNothing(now) && !inFile.has(i)) decisions.delete(i);
  else decisions.set(i, now);
  unsaved = true;
  keepProgress();
}

function keepProgress() {
  const made = {};
  for (const [i, { text, status, span }] of decisions) made[nameOf(i)] = [text, status, span];
  try {
    localStorage.setItem(PLACE + DATA.digest, JSON.stringify({ made, others, unsaved }));
    stored = true;
  } catch {
    stored = false;
  }
}

// Restore progress on this data and unsaved decisions of earlier pages; returns how many of the latter.
function restoreProgress() {
  const numbers = new Map();
  for (let i = 0; i < N; i++) numbers.set(nameOf(i), i);
  const own = PLACE + DATA.digest;
  let earlier = 0;
  try {
    const keys = Array.from({ length: localStorage.length }, (_, k) => localStorage.key(k));
    for (const key of keys.filter((name) => name.startsWith(PLACE) && name !== own)) {
      const progress = JSON.parse(localStorage.getItem(key));
      const left = {};
      for (const [name, [text, status, span = null]] of
        Object.entries(progress.unsaved ? progress.made : {})) {
        const i = numbers.get(name);
        if (i === undefined) left[name] = [text, status, span];
        else decisions.set(i, { text, status, span }), earlier++;
      }
      if (Object.keys(left).length) {
        localStorage.setItem(key, JSON.stringify({ ...progress, made: left }));
      } else localStorage.removeItem(key);
    }
    const progress = JSON.parse(localStorage.getItem(own));
    for (const [name, [text, status, span = null]] of Object.entries(progress?.made ?? {})) {
      if (numbers.has(name)) decisions.set(numbers.get(name), { text, status, span });
    }
    others = progress?.others ?? [];
    unsaved = earlier > 0 || (progress?.unsaved ?? false);
  } catch {
    stored = false;
  }
  if (earlier) keepProgress();
  return earlier;
}

function correctionOf(i) {
  const { text, status, span } = decisions.get(i);
  if (decidesNothing(decisions.get(i))) return null;
  const line = { ...inFile.get(i)?.row };
  const { sha, channel } = DATA.recordings[S.recording[i]];
  line.content_sha256 = sha;
  [line.start_s, line.end_s] = cutSpan(i);
  for (const key of ["channel", "text", "status", "new_start_s", "new_end_s"]) delete line[key];
  if (channel !== null) line.channel = channel;
  if (text !== null) line.text = text;
  if (status !== null) line.status = status;
  if (span !== null) [line.new_start_s, line.new_end_s] = span;
  return JSON.stringify(line);
}

// The complete corrections file: its earlier lines in their order, then the new ones.
function correctionsFile() {
  const lines = [];
  const done = new Set();
  for (const line of DATA.corrections) {
    if (line.why.endsWith("same segment")) continue; // a later line has replaced it
    const i = line.segment;
    if (i < 0 || !decisions.has(i)) lines.push(line.raw);
    else lines.push(correctionOf(i));
    done.add(i);
  }
  lines.push(...others);
  for (const i of [...decisions.keys()].sort((a, b) => a - b)) {
    if (!done.has(i)) lines.push(correctionOf(i));
  }
  return lines.filter((line) => line !== null).map((line) => line + "\n").join("");
}

// Each channel of a file is a separate recording.
function recordingId(sha, channel) {
  return sha.slice(0, 16) + (channel == null ? "" : `-ch${channel}`);
}

// Import the corrections of a file; those that match no segment here are kept for saving.
function openCorrections(content) {
  const byId = new Map();
  for (let i = 0; i < N; i++) {
    const { sha, channel } = DATA.recordings[S.recording[i]];
    const id = recordingId(sha, channel);
    if (!byId.has(id)) byId.set(id, []);
    byId.get(id).push(i);
  }
  const rows = [];
  content.replace(/^\uFEFF/, "").split("\n").forEach((line, n) => {
    if (!line.trim()) return;
    let row;
    try {
      row = JSON.parse(line);
    } catch {
      row = null;
    }
    const valid = row && typeof row.content_sha256 === "string" && row.start_s < row.end_s &&
      ["string", "undefined"].includes(typeof (row.text ?? undefined)) &&
      [null, "keep", "drop"].includes(row.status ?? null) &&
      (row.new_start_s ?? null) === null === ((row.new_end_s ?? null) === null) &&
      (row.new_start_s == null || row.new_start_s < row.new_end_s);
    if (!valid) throw new Error(`line ${n + 1} is not a correction`);
    rows.push([line.trim(), row]);
  });
  const known = new Set(DATA.corrections.map((line) => line.raw));
  let fitting = 0;
  for (const [line, row] of rows) {
    let best = -1;
    let most = 0;
    for (const i of byId.get(recordingId(row.content_sha256, row.channel)) ?? []) {
      const [start_s, end_s] = cutSpan(i);
      const common = Math.min(end_s, row.end_s) - Math.max(start_s, row.start_s);
      const overlap = common / Math.max(end_s - start_s, row.end_s - row.start_s);
      if (overlap > most) [best, most] = [i, overlap];
    }
    if (best >= 0 && most >= MIN_OVERLAP - 1e-6) {
      fitting++;
      decisions.set(best, decisionOf(row));
    } else if (!known.has(line) && !others.includes(line)) others.push(line);
  }
  unsaved = true;
  keepProgress();
  return [fitting, rows.length - fitting];
}

// Positions of the segments in each order.
const inOrder = (compare) => Array.from({ length: N }, (_, i) => i).sort(compare);
const length_s = (i) => spanOf(i)[1] - spanOf(i)[0];
const mosOf = (i) => S.mos_overall?.[i] ?? 9; // segments without a score last
const pathOf = (i) => DATA.recordings[S.recording[i]].path;
const ORDERS = {
  worst: inOrder(() => 0),
  place: inOrder((a, b) =>
    pathOf(a) < pathOf(b) ? -1 : pathOf(a) > pathOf(b) ? 1 : S.start_s[a] - S.start_s[b]),
  longest: inOrder((a, b) => length_s(b) - length_s(a) || a - b),
  mos: inOrder((a, b) => mosOf(a) - mosOf(b) || a - b),
};

function filtered({ query, state, reason, speaker, reviewed, from, to, order }) {
  const wanted = lower(query.trim());
  return ORDERS[order].filter((i) => {
    if (wanted && !lower(textOf(i)).includes(wanted)) return false;
    if ((state === "keep" || state === "drop") && statusOf(i) !== state) return false;
    if ((state === "train" || state === "val") && S.split[i] !== state) return false;
    if (reason !== "" && S.reason[i] !== Number(reason)) return false;
    if (speaker !== "" && S.speaker[i] !== Number(speaker)) return false;
    if (reviewed && (decided(i) !== null) !== (reviewed === "done")) return false;
    if (from !== "" && !(S.confidence[i] !== null && S.confidence[i] >= Number(from))) return false;
    return to === "" || (S.confidence[i] !== null && S.confidence[i] <= Number(to));
  });
}
