"use strict";
// The data of the page, what was decided about it, and the corrections file that comes of it.

const DATA = JSON.parse(document.getElementById("data").textContent);
const S = DATA.segments;
const N = S.text.length;
const MIN_OVERLAP = 0.9; // as corpus/corrections.py
const PLACE = `voicekiln-review/${DATA.corpus}/`;

const lower = (text) => text.toLocaleLowerCase();
const nameOf = (i) => {
  const id = DATA.recordings[S.recording[i]].sha.slice(0, 16);
  return `${id}:${S.start_s[i]}:${S.end_s[i]}`;
};

// Corrections that the user's file holds, by segment; a decision made here replaces them.
const given = new Map();
for (const line of DATA.corrections) {
  if (line.segment < 0) continue;
  const row = JSON.parse(line.raw);
  given.set(line.segment, { text: row.text ?? null, status: row.status ?? null, row });
}

// Decisions made here, by segment: {text, status}, null where nothing is said; both null: undone.
const decisions = new Map();
let others = []; // lines of an opened file that are for no segment of this page
let stored = true; // whether the browser keeps our progress
let unsaved = false;

function decided(i) {
  const own = decisions.get(i) ?? given.get(i);
  return own && (own.text !== null || own.status !== null) ? own : null;
}
const textOf = (i) => decided(i)?.text ?? S.text[i];
const statusOf = (i) => decided(i)?.status ?? (S.dropped[i] ? "drop" : "keep");

function decide(i, change) {
  const before = decided(i) ?? { text: null, status: null };
  const now = { text: before.text, status: before.status, ...change };
  if (now.text === S.text[i] && given.get(i)?.text == null) now.text = null;
  if (now.text === null && now.status === null && !given.has(i)) decisions.delete(i);
  else decisions.set(i, now);
  unsaved = true;
  keepProgress();
}

function keepProgress() {
  const made = {};
  for (const [i, { text, status }] of decisions) made[nameOf(i)] = [text, status];
  try {
    localStorage.setItem(PLACE + DATA.digest, JSON.stringify({ made, others, unsaved }));
    stored = true;
  } catch {
    stored = false;
  }
}

// Progress on this data, and what was not saved on earlier pages of the corpus: how much of that.
function takeUpProgress() {
  const numbers = new Map();
  for (let i = 0; i < N; i++) numbers.set(nameOf(i), i);
  const own = PLACE + DATA.digest;
  let earlier = 0;
  try {
    const keys = Array.from({ length: localStorage.length }, (_, k) => localStorage.key(k));
    for (const key of keys.filter((name) => name.startsWith(PLACE) && name !== own)) {
      const progress = JSON.parse(localStorage.getItem(key));
      const left = {};
      for (const [name, [text, status]] of Object.entries(progress.unsaved ? progress.made : {})) {
        const i = numbers.get(name);
        if (i === undefined) left[name] = [text, status];
        else decisions.set(i, { text, status }), earlier++;
      }
      if (Object.keys(left).length) {
        localStorage.setItem(key, JSON.stringify({ ...progress, made: left }));
      } else localStorage.removeItem(key);
    }
    const progress = JSON.parse(localStorage.getItem(own));
    for (const [name, [text, status]] of Object.entries(progress?.made ?? {})) {
      if (numbers.has(name)) decisions.set(numbers.get(name), { text, status });
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
  const { text, status } = decisions.get(i);
  if (text === null && status === null) return null;
  const line = { ...given.get(i)?.row };
  const { sha, channel } = DATA.recordings[S.recording[i]];
  line.content_sha256 = sha;
  delete line.channel;
  if (channel !== null) line.channel = channel;
  line.start_s = S.start_s[i];
  line.end_s = S.end_s[i];
  delete line.text;
  delete line.status;
  if (text !== null) line.text = text;
  if (status !== null) line.status = status;
  return JSON.stringify(line);
}

// The whole corrections file: the lines that were there in their places, then the new ones.
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

// One channel of a file is a recording of its own.
function recordingId(sha, channel) {
  return sha.slice(0, 16) + (channel == null ? "" : `-ch${channel}`);
}

// Take the corrections of a file over; those that fit no segment here are kept for saving.
function openCorrections(content) {
  const byRecording = new Map();
  for (let i = 0; i < N; i++) {
    const { sha, channel } = DATA.recordings[S.recording[i]];
    const id = recordingId(sha, channel);
    if (!byRecording.has(id)) byRecording.set(id, []);
    byRecording.get(id).push(i);
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
      [null, "keep", "drop"].includes(row.status ?? null);
    if (!valid) throw new Error(`line ${n + 1} is no correction`);
    rows.push([line.trim(), row]);
  });
  const known = new Set(DATA.corrections.map((line) => line.raw));
  let fitting = 0;
  for (const [line, row] of rows) {
    let best = -1;
    let most = 0;
    for (const i of byRecording.get(recordingId(row.content_sha256, row.channel)) ?? []) {
      const common = Math.min(S.end_s[i], row.end_s) - Math.max(S.start_s[i], row.start_s);
      const share = common / Math.max(S.end_s[i] - S.start_s[i], row.end_s - row.start_s);
      if (share > most) [best, most] = [i, share];
    }
    if (best >= 0 && most >= MIN_OVERLAP - 1e-6) {
      fitting++;
      decisions.set(best, { text: row.text ?? null, status: row.status ?? null });
    } else if (!known.has(line) && !others.includes(line)) others.push(line);
  }
  unsaved = true;
  keepProgress();
  return [fitting, rows.length - fitting];
}

// Positions of the segments in each order.
const inOrder = (compare) => Array.from({ length: N }, (_, i) => i).sort(compare);
const length_s = (i) => S.end_s[i] - S.start_s[i];
const pathOf = (i) => DATA.recordings[S.recording[i]].path;
const ORDERS = {
  worst: inOrder(() => 0),
  place: inOrder((a, b) =>
    pathOf(a) < pathOf(b) ? -1 : pathOf(a) > pathOf(b) ? 1 : S.start_s[a] - S.start_s[b]),
  longest: inOrder((a, b) => length_s(b) - length_s(a) || a - b),
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
    if (from !== "" && !(S.trust[i] !== null && S.trust[i] >= Number(from))) return false;
    return to === "" || (S.trust[i] !== null && S.trust[i] <= Number(to));
  });
}
