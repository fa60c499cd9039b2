// From texts to a model's answers: what albatross/tasks does, over `model.onnx`. Knows no page.

import { Tokenizer } from "./tokenizer.js";
import { ofUnitLength, wordPart } from "./word_part.js";

const TEXT_SPECIALS = 2;
const PAIR_SPECIALS = 3;
const SHARED_TYPE = 2;
// Google's: tokens of a question and between windows, pairs kept, tokens of the longest answer.
const MOST_QUESTION = 64;
const STRIDE = 128;
const BEST = 20;
const LONGEST = 30;
const NOTHING_FOUND = 1e4;
// Sequences computed together: a long text has many windows.
const TOGETHER = 8;

/** A model with its tasks. */
export class Model {
  /**
   * @param ort the onnxruntime-web module
   * @param session over `model.onnx`
   * @param tasks the content of `task.json`
   * @param vocabulary the content of `vocabulary.json`
   */
  constructor(ort, session, tasks, vocabulary) {
    this.ort = ort;
    this.session = session;
    this.tasks = tasks;
    this.tokenizer = new Tokenizer(vocabulary);
  }

  /** Open the files of a folder; `at` gives the address of a name. */
  static async open(ort, at) {
    const read = async (name) => {
      const response = await fetch(at(name)).catch(() => ({ ok: false, status: "no connection" }));
      if (!response.ok) throw new Error(`${name} must lie beside this page (${response.status}).`);
      return response;
    };
    const [tasks, vocabulary, model] = await Promise.all([
      read("task.json").then((found) => found.json()),
      read("vocabulary.json").then((found) => found.json()),
      read("model.onnx").then((found) => found.arrayBuffer()),
    ]);
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    const session = await ort.InferenceSession.create(new Uint8Array(model), options);
    return new Model(ort, session, tasks, vocabulary);
  }

  /**
   * Answer one record of a task: `{text, text_pair}`, or `{question, context}`. A text alone has a
   * `vector` where texts are compared; `likeness` of two vectors is the answer for the two texts.
   */
  async answer(name, given) {
    const task = this.tasks[name];
    const kind = KINDS[task.kind];
    const record = kind.features(task, this.tokenizer, given);
    const rows = [];
    for (let at = 0; at < record.examples.length; at += TOGETHER) {
      const part = record.examples.slice(at, at + TOGETHER);
      const output = (await this.session.run(this.feeds(part)))[task.head];
      rows.push(...rowsOf(output, part));
    }
    return kind.answer(task, rows, record, given);
  }

  /** Examples of any lengths as the padded inputs of the graph. */
  feeds(examples) {
    const width = Math.max(...examples.map((example) => example.ids.length));
    const tensor = (cells) => {
      const values = new BigInt64Array(examples.length * width);
      examples.forEach((example, row) =>
        cells(example).forEach((value, column) => (values[row * width + column] = BigInt(value))),
      );
      return new this.ort.Tensor("int64", values, [examples.length, width]);
    };
    return {
      input_ids: tensor((example) => example.ids),
      attention_mask: tensor((example) => example.ids.map(() => 1)),
      token_type_ids: tensor((example) => example.types),
    };
  }
}

/** The logits of each example: a row, or a row for each of its tokens. */
function rowsOf(output, examples) {
  const size = output.dims[output.dims.length - 1];
  const row = (at) => Array.from(output.data.slice(at * size, (at + 1) * size));
  if (output.dims.length === 2) return examples.map((_, number) => row(number));
  return examples.map(({ ids }, number) => ids.map((_, at) => row(number * output.dims[1] + at)));
}

// === Sequences ===

function single(tokenizer, ids) {
  const all = [tokenizer.ids.cls, ...ids, tokenizer.ids.sep];
  return { ids: all, types: all.map(() => 0) };
}

/** A pair; where the task marks them, what stands in both texts has types 2 and 3. */
function pair(task, tokenizer, first, second) {
  const { cls, sep } = tokenizer.ids;
  const ids = [cls, ...first, sep, ...second, sep];
  const others = new Set(second);
  const shared = new Set(task.mark_shared ? first.filter((id) => others.has(id)) : []);
  const kind = (id, at) => (at < first.length + 2 ? 0 : 1) + (shared.has(id) ? SHARED_TYPE : 0);
  return { ids, types: ids.map(kind) };
}

/** Where the windows of a text lie: `[start, end]`, at most `room` tokens each. */
function windows(task, count, room, usual = room) {
  const step = Math.min(room, task.stride || usual);
  const starts = [0];
  while (starts[starts.length - 1] + room < count) starts.push(starts[starts.length - 1] + step);
  return starts.map((start) => [start, Math.min(start + room, count)]);
}

/** The windows of a text, or a pair whose texts are cut until both fit. */
function texts(task, tokenizer, given) {
  const first = tokenizer.encode(given.text).ids;
  if (!given.text_pair) {
    const cut = windows(task, first.length, task.max_length - TEXT_SPECIALS);
    return { examples: cut.map(([start, end]) => single(tokenizer, first.slice(start, end))) };
  }
  let room = task.max_length - PAIR_SPECIALS;
  let second = tokenizer.encode(given.text_pair).ids;
  second = second.slice(0, Math.max(Math.floor(room / 2), room - first.length));
  room -= second.length;
  const cut = task.stride ? windows(task, first.length, room) : [[0, room]];
  const examples = cut.map(([start, end]) => pair(task, tokenizer, first.slice(start, end), second));
  return { examples };
}

/** The windows of one text, or of two whose vectors are compared. */
function sides(task, tokenizer, given) {
  const both = given.text_pair ? [given.text, given.text_pair] : [given.text];
  const cut = both.map((text) => texts(task, tokenizer, { text }).examples);
  return { examples: cut.flat(), counts: cut.map((examples) => examples.length) };
}

/** For each token the window where it has most context on its shorter side. */
function mostContext(cut, count) {
  const best = new Array(count).fill(-Infinity);
  const chosen = new Array(count).fill(0);
  cut.forEach(([start, end], number) => {
    for (let at = start; at < end; at++) {
      const context = Math.min(at - start, end - 1 - at) + 0.01 * (end - start);
      if (context > best[at]) [best[at], chosen[at]] = [context, number];
    }
  });
  return chosen;
}

function questionWindows(task, tokenizer, { question, context }) {
  const room = task.max_length - PAIR_SPECIALS;
  const most = Math.min(MOST_QUESTION, Math.floor(room / 2));
  const asked = tokenizer.encode(question).ids.slice(0, most);
  const { ids, offsets } = tokenizer.encode(context);
  const cut = windows(task, ids.length, room - asked.length, STRIDE);
  const chosen = mostContext(cut, ids.length);
  const examples = cut.map(([start, end], number) => ({
    ...pair(task, tokenizer, asked, ids.slice(start, end)),
    first: asked.length + 2,
    offsets: offsets.slice(start, end),
    isBest: chosen.slice(start, end).map((window) => window === number),
  }));
  return { examples, isSpace: (character) => tokenizer.space.test(character) };
}

/** Words with inner signs such as don't, 3.5 and well-known; any other sign is a word. Marks belong to theirs. */
function wordsOf(tokenizer, text) {
  const letter = "\\p{L}\\p{N}_";
  const more = "\\p{M}\\u00ad\\u200c\\u200d";
  const word = `[${letter}][${letter}${more}]*`;
  const sign = `(?!${tokenizer.space.source})[^${letter}][${more}]*`;
  const pattern = new RegExp(`${word}(?:['\\u2019.,\\-]${word})*|${sign}`, "gu");
  return [...text.matchAll(pattern)]
    .map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }));
}

/** 1 for each piece of a word with a capital letter. */
function capitals(words, offsets) {
  let at = 0;
  let end = words.length ? words[0].text.length + 1 : 0;
  return offsets.map(([start]) => {
    while (start >= end && at + 1 < words.length) end += words[++at].text.length + 1;
    return Number(words[at].text !== words[at].text.toLowerCase());
  });
}

function wordWindows(task, tokenizer, given) {
  const words = wordsOf(tokenizer, given.text);
  const { ids, offsets } = tokenizer.encode(words.map((word) => word.text).join(" "));
  let start = 0;
  let token = 0;
  const firsts = words.map((word) => {
    while (token < offsets.length && offsets[token][0] < start) token++;
    const inside = token < offsets.length && offsets[token][0] < start + word.text.length;
    start += word.text.length + 1;
    return inside ? token : -1;
  });
  const room = task.max_length - TEXT_SPECIALS;
  const cut = windows(task, ids.length, room, Math.max(1, Math.floor(room / 2)));
  const chosen = mostContext(cut, ids.length);
  const kinds = task.capitals ? capitals(words, offsets) : ids.map(() => 0);
  const examples = cut.map(([from, to]) => ({
    ...single(tokenizer, ids.slice(from, to)),
    types: [0, ...kinds.slice(from, to), 0],
    from,
  }));
  return { examples, words, firsts, chosen };
}

// === Answers ===

function meanOf(rows) {
  return rows[0].map((_, at) => rows.reduce((sum, row) => sum + row[at], 0) / rows.length);
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const shares = logits.map((logit) => Math.exp(logit - largest));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

const sigmoid = (logit) => (logit >= 0 ? 1 / (1 + Math.exp(-logit)) : 1 - sigmoid(-logit));

function likeliest(shares, labels) {
  const best = shares.indexOf(Math.max(...shares));
  const probabilities = Object.fromEntries(labels.map((label, at) => [label, shares[at]]));
  return { label: labels[best], score: shares[best], probabilities };
}

function oneLabel(task, rows) {
  const logits = meanOf(rows).map((logit) => logit / (task.temperature ?? 1));
  const found = likeliest(softmax(logits), task.labels);
  const isKnown = !task.otherwise || found.label === task.otherwise;
  if (isKnown || found.score >= (task.threshold ?? 0)) return found;
  return { ...found, label: task.otherwise, score: 1 - found.score };
}

function rank(task, rows) {
  const falling = [1];
  for (const logit of meanOf(rows)) falling.push(Math.min(falling.at(-1), sigmoid(logit)));
  falling.push(0);
  return likeliest(task.labels.map((_, at) => falling[at] - falling[at + 1]), task.labels);
}

function severalLabels(task, rows) {
  const shares = meanOf(rows).map(sigmoid);
  const probabilities = Object.fromEntries(task.labels.map((label, at) => [label, shares[at]]));
  return { labels: task.labels.filter((_, at) => shares[at] >= task.thresholds[at]), probabilities };
}

function value(task, rows) {
  return { value: task.mean + task.deviation * meanOf(rows)[0] };
}

/** How alike two texts are, on the scale of the labels, by their vectors. */
export function likeness(task, one, other) {
  const cosine = one.reduce((sum, number, at) => sum + number * other[at], 0);
  return task.low + (task.high - task.low) * Math.max(-1, Math.min(1, cosine));
}

/** The vector of one text, or how alike two are. */
function alike(task, rows, { examples, counts }) {
  let from = 0;
  const vectors = counts.map((count) => {
    const to = from + count;
    const learned = ofUnitLength(meanOf(rows.slice(from, to)));
    const ids = examples.slice(from, to).flatMap((example) => example.ids.slice(1, -1));
    from = to;
    return task.word_share ? withWords(learned, ids, task.word_share) : learned;
  });
  if (vectors.length === 1) return { vector: vectors[0] };
  return { score: likeness(task, ...vectors) };
}

/** What a text says beside which words it has, so that cosines are the mean of both. */
function withWords(learned, ids, share) {
  const words = wordPart(ids, learned.length).map((number) => Math.sqrt(share) * number);
  return [...learned.map((number) => Math.sqrt(1 - share) * number), ...words];
}

/** The best piece of the context, or none; of a token only the window with most context speaks. */
function span(task, rows, { examples, isSpace }, { context }) {
  const found = new Map();
  examples.forEach((example, number) => {
    const logits = rows[number].slice(example.first, example.first + example.offsets.length);
    for (let { start, end, score } of possible(example, logits)) {
      while (start < end && isSpace(context[start])) start++;
      while (start < end && isSpace(context[end - 1])) end--;
      if (start === end) continue;
      const key = `${start} ${end}`;
      if (!found.has(key) || found.get(key).score < score) found.set(key, { start, end, score });
    }
  });
  const byScore = (a, b) => b.score - a.score || a.start - b.start || a.end - b.end;
  const best = [...found.values()].sort(byScore).slice(0, BEST);
  if (!best.length) return { text: "", start: 0, end: 0, score: 1, no_answer_score: NOTHING_FOUND };
  const none = Math.min(...rows.map((each) => each[0][0] + each[0][1]));
  const shares = softmax([...best.map((each) => each.score), none]);
  const noAnswer = none - best[0].score;
  if (task.no_answer && noAnswer > task.threshold) {
    return { text: "", start: 0, end: 0, score: shares.at(-1), no_answer_score: noAnswer };
  }
  const { start, end } = best[0];
  const text = context.slice(start, end);
  return { text, start, end, score: shares[0], no_answer_score: noAnswer };
}

/** The best pairs of one window's best starts and ends that are pieces of the context. */
function possible(example, logits) {
  const order = [0, 1].map((column) => {
    const places = logits.map((_, at) => at);
    return places.sort((a, b) => logits[b][column] - logits[a][column]).slice(0, BEST);
  });
  const pairs = [];
  for (const end of order[1]) {
    for (const start of order[0]) {
      if (end < start || end - start >= LONGEST || !example.isBest[start]) continue;
      pairs.push({ start, end, score: logits[start][0] + logits[end][1] });
    }
  }
  return pairs
    .sort((a, b) => b.score - a.score)
    .slice(0, BEST)
    .map(({ start, end, score }) => {
      return { start: example.offsets[start][0], end: example.offsets[end][1], score };
    });
}

/** A tag for each word, and the entities that the tags mark. */
function entities(task, rows, { examples, words, firsts, chosen }) {
  const outside = Math.max(0, task.labels.indexOf("O"));
  const shares = firsts.map((token) => {
    if (token < 0) return softmax(task.labels.map((_, at) => (at === outside ? 1 : 0)));
    return softmax(rows[chosen[token]][token - examples[chosen[token]].from + 1]);
  });
  let before = "";
  const tags = shares.map((share) => {
    const label = task.labels[share.indexOf(Math.max(...share))];
    const [prefix, type] = partsOf(label);
    const begins = prefix === "I" && before !== type && task.labels.includes(`B-${type}`);
    before = type;
    return begins ? `B-${type}` : label;
  });
  const found = [];
  const marksEntities = task.labels.every((label) => /^(O|[BI]-.+)$/s.test(label));
  (marksEntities ? tags : []).forEach((tag, at) => {
    const [prefix, type] = partsOf(tag);
    const last = found.at(-1);
    const score = Math.max(...shares[at]);
    if (prefix === "I" && last && last.type === type && last.next === at) {
      Object.assign(last, { end: words[at].end, next: at + 1, score: Math.min(last.score, score) });
    } else if (prefix === "B" || prefix === "I") {
      found.push({ type, start: words[at].start, end: words[at].end, next: at + 1, score });
    }
  });
  return { entities: found.map(({ next, ...entity }) => entity), tags, words };
}

function partsOf(tag) {
  const dash = tag.indexOf("-");
  return dash < 0 ? [tag, ""] : [tag.slice(0, dash), tag.slice(dash + 1)];
}

const KINDS = {
  classification: { features: texts, answer: oneLabel },
  ordinal: { features: texts, answer: rank },
  "multi-label": { features: texts, answer: severalLabels },
  regression: { features: texts, answer: value },
  similarity: { features: sides, answer: alike },
  spans: { features: questionWindows, answer: span },
  tagging: { features: wordWindows, answer: entities },
};
