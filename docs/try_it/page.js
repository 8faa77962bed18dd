// The page: settings, controls, and what is shown of the episode.
"use strict";

const at = id => document.getElementById(id);
const form = at("settings");
let principal = null, episode = null, isPlaying = false, numStarts = 0, work = Promise.resolve();

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// settings

function showParameters() {
  const rule = RULES[at("rule").value];
  at("about").textContent = `It ${rule.about}.`;
  at("parameters").replaceChildren(...Object.entries(rule.parameters).flatMap(
    ([name, {label, value, min, max, step}]) => [
      element("label", label, {for: `p.${name}`}),
      element("input", "", {id: `p.${name}`, name: `p.${name}`, type: "range", min, max, step, value}),
      element("output", "", {for: `p.${name}`}),
    ]));
}

function showValues() {
  for (const output of form.querySelectorAll("output")) {
    output.textContent = at(output.htmlFor.value).value;
  }
}

function settings() {
  const {rule, ...given} = Object.fromEntries(new FormData(form));
  const found = {rule, parameters: {}};
  for (const [name, text] of Object.entries(given)) {
    const value = text === "" ? null : Number(text);
    if (name.startsWith("p.")) found.parameters[name.slice(2)] = value;
    else found[name] = value;
  }
  return found;
}

/**
 * Put the settings of the address, such as #rule=UCB&p.beta=0.3&seed=4&run=60, into the form.
 *
 * @returns steps to play at once, `run` in the address
 */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("rule") in RULES) at("rule").value = given.get("rule");
  showParameters();
  for (const [name, value] of given) {
    const field = form.elements.namedItem(name);
    if (field && name !== "rule") field.value = value;
  }
  showValues();
  return Number(given.get("run")) || 0;
}

// the episode

const bonuses = number => number === 1 ? "1 bonus" : `${number} bonuses`;

function sentences() {
  const {step, settings: {numSteps}, plays} = episode;
  if (!step) return "Press Play to begin.";
  const share = play => percent(play.hits.at(-1) / step);
  const perStep = play => (play.returns.at(-1) / step).toFixed(2);
  const highest = Math.max(...Object.values(plays).map(play => play.returns.at(-1)));
  const best = Object.keys(plays).filter(name => plays[name].returns.at(-1) > highest - 1e-9);
  const ahead = best.length > 1 ? "The best earn the same." : {
    principal: "The principal earns most.", burst: "The burst earns most.",
    alone: "Leaving it alone earns most.",
  }[best[0]];
  const {principal, burst, alone} = plays;
  return `${episode.isOver ? `After ${numSteps} steps` : `Step ${step} of ${numSteps}`}: steered, the `
    + `learner picked the target in ${share(principal)} of the steps, with `
    + `${bonuses(principal.numBonuses)}; by the burst in `
    + `${share(burst)}, with ${bonuses(burst.numBonuses)}; left alone in ${share(alone)}. Return per step: `
    + `${perStep(principal)}, ${perStep(burst)} and ${perStep(alone)}. ${ahead}`;
}

function aboutTask() {
  const {baseRewards, target} = episode.drawn, {bonus, budget, numArms} = episode.settings;
  const best = Math.max(...baseRewards), gap = best - baseRewards[target];
  const enough = bonus > gap ? "The bonus is more than the difference"
    : "The bonus is less than the difference, so the target never pays the learner most";
  return `The target is arm ${target + 1} of ${numArms}. Its mean reward is `
    + `${baseRewards[target].toFixed(2)}, that of the best arm ${best.toFixed(2)}. ${enough}.`
    + (budget === null ? "" : ` At most ${bonuses(budget)}.`);
}

function showScores() {
  const step = Math.max(1, episode.step);
  at("scores").replaceChildren(...Object.entries(episode.plays).map(([name, play]) => {
    const row = element("tr", ""), head = element("th", "", {scope: "row"});
    head.append(element("span", "", {class: "swatch", style: `background: ${PLAYERS[name].colour}`}),
      PLAYERS[name].title);
    row.append(head, ...[
      percent(play.hits.at(-1) / step), play.numBonuses, play.returns.at(-1).toFixed(1),
      (play.returns.at(-1) / step).toFixed(3),
    ].map(value => element("td", value, {class: "number"})));
    return row;
  }));
}

async function show() {
  const decision = await episode.decide();
  const isOver = episode.isOver;
  if (isOver) isPlaying = false;
  at("result").setAttribute("aria-live", isPlaying ? "off" : "polite");
  at("result").textContent = sentences();
  at("task").textContent = aboutTask();
  showScores();
  drawReturns(at("returns"), episode);
  drawShares(at("shares"), episode);
  drawArms(at("arms"), episode);
  drawForecast(at("forecast"), episode, decision);
  at("play").textContent = isPlaying ? "Pause" : "Play";
  for (const id of ["play", "step", "end"]) at(id).disabled = isOver;
  for (const id of ["restart", "another"]) at(id).disabled = false;
}

/** Do things one after another: a step is never taken while another is. */
function next(action) {
  work = work.then(action).catch(error => {
    isPlaying = false;
    at("result").textContent = `The principal cannot run here: ${error.message}`;
  });
  return work;
}

function restart() {
  isPlaying = false;
  showValues();
  if (!form.checkValidity()) {
    const wrong = form.querySelector("input:invalid");
    const label = form.querySelector(`label[for="${wrong.id}"]`).textContent;
    at("result").textContent = `${label}: ${wrong.validationMessage}`;
    for (const id of ["play", "step", "end", "restart", "another"]) at(id).disabled = true;
    return work;
  }
  history.replaceState(null, "", `#${new URLSearchParams(new FormData(form))}`);
  return next(async () => {
    episode = new Episode(settings(), principal);
    await show();
  });
}

async function advance(number) {
  for (let done = 0; done < number && !episode.isOver; done++) await episode.advance();
  await show();
}

/** Play at the chosen speed until it is paused or over. */
async function play() {
  isPlaying = true;
  const start = ++numStarts;  // of which the latest counts
  let due = 0, before = performance.now();
  while (isPlaying && start === numStarts) {
    const now = await new Promise(requestAnimationFrame);
    due += Math.min(0.25, (now - before) / 1000) * Number(at("speed").value);
    before = now;
    const number = Math.floor(due);
    due -= number;
    if (number && isPlaying && start === numStarts) await next(() => advance(number));
  }
  await next(show);
}

async function begin() {
  for (const [name, rule] of Object.entries(RULES)) {
    at("rule").append(element("option", rule.title, {value: name}));
  }
  if (matchMedia("(max-width: 46rem)").matches) at("fold").open = false;
  const first = readAddress();
  if (typeof MODEL === "undefined" || typeof RUNTIME_BINARY === "undefined") {
    at("result").textContent = "The files of the principal are missing beside this page. In the "
      + "source folder of the project, `make try-it` makes them.";
    return;
  }
  await next(async () => { principal = await Principal.load(); });
  if (!principal) return;
  at("rule").addEventListener("change", showParameters);
  form.addEventListener("input", restart);
  form.addEventListener("submit", event => event.preventDefault());
  at("play").addEventListener("click", () => {
    if (isPlaying) isPlaying = false;
    else play();
  });
  at("step").addEventListener("click", () => { isPlaying = false; next(() => advance(1)); });
  at("end").addEventListener("click", () => { isPlaying = false; next(() => advance(Infinity)); });
  at("restart").addEventListener("click", restart);
  at("another").addEventListener("click", () => {
    at("seed").value = (Number(at("seed").value) + 1) % 1000000;
    restart();
  });
  addEventListener("resize", () => { if (episode) next(show); });
  await restart();
  if (first) await next(() => advance(first));
}

begin();
