// Runs a graph of one product; writes its output.
import fs from "node:fs";
import * as ort from "onnxruntime-web/wasm";
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(fs.readFileSync(process.argv[2]));
const rows = JSON.parse(fs.readFileSync(0, "utf8"));
const data = Float32Array.from(rows.flat());
const input = new ort.Tensor("float32", data, [rows.length, rows[0].length]);
const output = (await session.run({ rows: input })).mapped;
process.stdout.write(JSON.stringify(Array.from(output.data)));
