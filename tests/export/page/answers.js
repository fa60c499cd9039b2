// Reads records by task as JSON from standard input; writes what the model of a folder answers, and
// the milliseconds of the last runs over eight tokens.
import fs from "node:fs";
import * as ort from "onnxruntime-web/wasm";
const [folder] = process.argv.slice(2);
const { Model } = await import(`${folder}/albatross.js`);
ort.env.wasm.numThreads = 1;
const read = (name) => fs.readFileSync(`${folder}/${name}`);
const options = { logSeverityLevel: 3 };
const session = await ort.InferenceSession.create(read("model.onnx"), options);
const json = (name) => JSON.parse(read(name).toString());
const model = new Model(ort, session, json("task.json"), json("vocabulary.json"));
const found = [];
for (const [task, given] of JSON.parse(fs.readFileSync(0, "utf8"))) {
  found.push(await model.answer(task, given));
}
const example = { ids: [2, 5, 6, 7, 8, 9, 10, 3], types: [0, 0, 0, 0, 0, 0, 0, 0] };
const times = [];
for (let round = 0; round < 11; round++) {
  const began = performance.now();
  await session.run(model.feeds([example]));
  times.push(performance.now() - began);
}
times.sort((a, b) => a - b);
process.stdout.write(JSON.stringify({ answers: found, milliseconds: times[5] }));
