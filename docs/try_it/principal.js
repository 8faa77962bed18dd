// The trained principal: one decision step as an ONNX graph, run by onnxruntime-web.
// MODEL, RUNTIME_MODULE and RUNTIME_BINARY are the vendored files, in base64; so the page needs no
// server.
"use strict";

const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Principal {
  static async load() {
    const module = new Blob([bytesOf(RUNTIME_MODULE)], {type: "text/javascript"});
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = {mjs: URL.createObjectURL(module)};
    ort.env.wasm.wasmBinary = await unzipped(bytesOf(RUNTIME_BINARY));
    const session = await ort.InferenceSession.create(bytesOf(MODEL), {executionProviders: ["wasm"]});
    return new Principal(session);
  }

  constructor(session) {
    this.session = session;
    const hidden = session.inputMetadata.find(each => each.name === "hidden");
    this.hiddenSize = hidden.shape.at(-1);
  }

  /** Begin an episode in a game; see `Episode` for its settings. */
  begin({numArms, numSteps, bonus, cost, budget}, target) {
    const float = (values, shape) => new ort.Tensor("float32", Float32Array.from(values), shape);
    const zeros = (...shape) => float(new Array(shape.reduce((a, b) => a * b)).fill(0), shape);
    const whole = value => new ort.Tensor("int64", BigInt64Array.of(BigInt(value)), [1]);
    // arm 0 of the principal is the target
    const swapped = arm => arm === target ? 0 : arm === 0 ? target : arm;
    const game = {
      bonuses: float([0, bonus], [1, 2]),
      cost: float([cost], [1]),
      num_steps: float([numSteps], [1]),
      max_interventions: float([budget ?? Infinity], [1]),
      full_information: new ort.Tensor("bool", Uint8Array.of(0), [1]),
    };
    let state = {
      hidden: zeros(1, this.hiddenSize), arm_tallies: zeros(1, numArms, 3), totals: zeros(1, 3),
    };
    let step = 0, last = {arm: 0, level: 0}, next = null;
    return {
      /** Level of the next step, and the forecast [L][A] of the learner's arm at each level. */
      decide: async () => {
        const out = await this.session.run({
          ...game, ...state, step: whole(step), arm: whole(swapped(last.arm)),
          level: whole(last.level), agent_reward: float([0], [1]),
        });
        next = {hidden: out.new_hidden, arm_tallies: out.new_arm_tallies, totals: out.new_totals};
        const chances = out.forecast.data;
        const forecast = [0, 1].map(level => Array.from({length: numArms},
          (_, arm) => chances[level * numArms + swapped(arm)]));
        return {level: Number(out.chosen_level.data[0]), forecast};
      },
      /** The arm that the learner pulled at the level that was played. */
      observe: (arm, level) => {
        [state, last, step] = [next, {arm, level}, step + 1];
      },
    };
  }
}
