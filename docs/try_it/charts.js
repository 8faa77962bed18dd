// The pictures of an episode, drawn in pixels so that their text keeps its size.
"use strict";

const PLAYERS = {
  principal: {title: "Principal", colour: "var(--accent)", dash: ""},
  burst: {title: "Burst", colour: "var(--burst)", dash: "7 3"},
  alone: {title: "Left alone", colour: "var(--alone)", dash: "2 3"},
};
const RECENT = 20;  // steps of a share
const MOST_FORECASTS = 8;  // arms

const percent = share => `${Math.round(100 * share)}%`;

/** An empty picture of a height, and a function that adds an element to it. */
function canvas(svg, height) {
  const width = Math.max(240, svg.clientWidth);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.replaceChildren();
  const draw = (tag, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    svg.append(made);
  };
  return {width, draw};
}

/** Steps between the lines of an axis. */
function spacing(range, most) {
  const power = 10 ** Math.floor(Math.log10(range / most));
  return [1, 2, 5, 10].map(each => each * power).find(each => range / each <= most);
}

/** A line for each way to play; `values(play)` are those after each step. */
function drawLines(svg, episode, values, [lowest, highest], tell) {
  const height = 210, left = 42, right = 12, top = 8, bottom = height - 22;
  const {width, draw} = canvas(svg, height), {numSteps} = episode.settings;
  const series = Object.entries(episode.plays).map(([name, play]) => [name, values(play)]);
  const all = series.flatMap(([, line]) => line);
  const low = Math.min(lowest, ...all), high = Math.max(highest, ...all);
  const x = step => left + (width - left - right) * step / numSteps;
  const y = value => bottom - (bottom - top) * (value - low) / (high - low);
  const every = spacing(high - low, 5);
  for (let value = Math.ceil(low / every) * every; value <= high + 1e-9; value += every) {
    draw("line", {x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--line)"});
    draw("text", {x: left - 6, y: y(value) + 4, "text-anchor": "end"}, tell(value));
  }
  draw("text", {x: left, y: height - 5}, "step 0");
  draw("text", {x: width - right, y: height - 5, "text-anchor": "end"}, `step ${numSteps}`);
  for (const [name, line] of series.reverse()) {
    const {colour, dash} = PLAYERS[name];
    const points = line.map((value, step) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    draw("polyline", {points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2.2,
      "stroke-dasharray": dash, class: name});
  }
}

const drawReturns = (svg, episode) => drawLines(svg, episode, play => play.returns,
  [0, Math.min(10, episode.settings.numSteps)], value => `${Math.round(value)}`);

const drawShares = (svg, episode) => drawLines(svg, episode,
  play => play.hits.map((_, step) => play.recentShare(step, RECENT)), [0, 1], percent);

/** Rows of arms over the steps, for each way to play: the target on top, then the best ones. */
function drawArms(svg, episode) {
  const {numArms, numSteps} = episode.settings, {baseRewards, target} = episode.drawn;
  const row = Math.min(11, Math.max(2, 76 / numArms)), head = 18, foot = 13;
  const block = head + row * numArms + foot;
  const {width, draw} = canvas(svg, 3 * block), step = width / numSteps;
  const order = baseRewards.map((_, arm) => arm).sort((a, b) =>
    (b === target) - (a === target) || baseRewards[b] - baseRewards[a]);
  const place = order.reduce((places, arm, at) => { places[arm] = at; return places; }, []);
  Object.entries(episode.plays).forEach(([name, play], number) => {
    const top = number * block, {title} = PLAYERS[name];
    draw("text", {x: 0, y: top + 13, class: "strong"}, title);
    draw("rect", {x: 0, y: top + head, width, height: row * numArms, fill: "var(--tint)"});
    const marks = {target: "", others: "", bonuses: ""};
    play.arms.forEach((arm, at) => {
      const x = (at * step).toFixed(2), y = top + head + row * (place[arm] + 0.5);
      marks[arm === target ? "target" : "others"] += `M${x} ${y.toFixed(1)}h${step.toFixed(2)}`;
      if (play.levels[at]) marks.bonuses += `M${x} ${top + block - foot + 5}h${step.toFixed(2)}`;
    });
    const thick = Math.max(1.5, row * 0.85);
    draw("path", {d: marks.others, stroke: "var(--alone)", "stroke-width": thick});
    draw("path", {d: marks.target, stroke: "var(--accent)", "stroke-width": thick});
    draw("path", {d: marks.bonuses, stroke: "var(--paid)", "stroke-width": 6});
  });
}

/** Chances of the likeliest arms, the target first, without and with the bonus. */
function drawForecast(svg, episode, decision) {
  const {target} = episode.drawn;
  if (!decision) {
    const {width, draw} = canvas(svg, 60);
    draw("text", {x: width / 2, y: 34, "text-anchor": "middle"}, "The episode is over.");
    return;
  }
  const [without, given] = decision.forecast;
  const order = without.map((_, arm) => arm).sort((a, b) =>
    (b === target) - (a === target) || without[b] - without[a]).slice(0, MOST_FORECASTS);
  const row = 30, left = 118, {width, draw} = canvas(svg, row * order.length);
  order.forEach((arm, number) => {
    const name = `arm ${arm + 1}${arm === target ? " (target)" : ""}`;
    const y = number * row, full = width - left - 44;
    draw("text", {x: left - 8, y: y + 17, "text-anchor": "end",
      class: arm === target ? "strong" : ""}, name);
    [[without[arm], "var(--alone)"], [given[arm], "var(--paid)"]].forEach(([chance, fill], level) => {
      draw("rect", {x: left, y: y + 2 + 12 * level, width: Math.max(1, full * chance), height: 11,
        fill});
      draw("text", {x: left + full * chance + 5, y: y + 12 + 12 * level}, percent(chance));
    });
  });
}
