// One episode of the game, and whoever plays it with the same learner and random numbers.
"use strict";

/**
 * All random numbers of an episode, the same whoever plays.
 *
 * @param settings {rule, numArms, numSteps, seed}
 * @returns base rewards [A] in (0, 1), the target, which is not the best arm, and uniform numbers
 *   of the learner [T][K] and of its rewards [T]
 */
function drawEpisode({rule, numArms, numSteps, seed}) {
  const [ofTask, ofAgent, ofRewards] = [0, 1, 2].map(stream => uniformNumbers(seed, stream));
  const baseRewards = Array.from({length: numArms}, ofTask);
  const ranked = baseRewards.map((_, arm) => arm).sort((a, b) => baseRewards[b] - baseRewards[a]);
  const target = ranked[1 + Math.floor(ofTask() * (numArms - 1))];
  const numUniforms = numArms + RULES[rule].moreUniforms;
  const agent = Array.from({length: numSteps}, () => Array.from({length: numUniforms}, ofAgent));
  const rewards = Array.from({length: numSteps}, ofRewards);
  return {baseRewards, target, agent, rewards};
}

/** One way to play the episode: a learner, and what became of it. */
class Play {
  /**
   * @param settings {rule, parameters, numArms, bonus, cost, noise}
   * @param drawn of `drawEpisode`
   */
  constructor(settings, drawn) {
    this.settings = settings;
    this.drawn = drawn;
    this.learner = new RULES[settings.rule](settings.numArms, settings.parameters);
    this.arms = [];
    this.levels = [];
    this.returns = [0];  // the principal's rewards so far, after each step
    this.hits = [0];  // pulls of the target so far
    this.numBonuses = 0;
  }

  get step() { return this.arms.length; }

  /** Play a step at a level: 1 offers the bonus for a pull of the target, 0 offers nothing. */
  advance(level) {
    const {drawn, settings: {bonus, cost, noise}} = this, step = this.step;
    const arm = this.learner.act(drawn.agent[step]);
    const isTarget = arm === drawn.target ? 1 : 0;
    const own = drawn.baseRewards[arm] + noise * normalQuantile(drawn.rewards[step]);
    this.learner.learn(arm, own + level * bonus * isTarget);
    this.arms.push(arm);
    this.levels.push(level);
    this.numBonuses += level;
    this.returns.push(this.returns.at(-1) + isTarget - cost * bonus * level);
    this.hits.push(this.hits.at(-1) + isTarget);
    return arm;
  }

  /** Share of target pulls in the last steps, at most `most` of them. */
  recentShare(step, most) {
    const first = Math.max(0, step - most);
    return step ? (this.hits[step] - this.hits[first]) / (step - first) : 0;
  }
}

/** The level of a burst: the bonus in the first steps, as far as the budget goes. */
const burstLevel = ({burst, budget}, step) => step < Math.min(burst, budget ?? Infinity) ? 1 : 0;

/** An episode that is steered, beside a burst and leaving the same learner alone. */
class Episode {
  /**
   * @param settings {rule, parameters, numArms, numSteps, bonus, cost, budget, burst, noise, seed};
   *   a budget of null for any number of bonuses
   * @param principal a `Principal`
   */
  constructor(settings, principal) {
    this.settings = settings;
    this.drawn = drawEpisode(settings);
    this.steering = principal.begin(settings, this.drawn.target);
    this.plays = Object.fromEntries(
      ["principal", "burst", "alone"].map(name => [name, new Play(settings, this.drawn)]));
    this.decision = null;  // of the step that comes, once it was asked for
  }

  get step() { return this.plays.alone.step; }
  get isOver() { return this.step >= this.settings.numSteps; }

  /** What the principal decides for the next step, and its forecast of the arm. */
  async decide() {
    if (!this.decision && !this.isOver) this.decision = await this.steering.decide();
    return this.decision;
  }

  /** Play the next step of all three. */
  async advance() {
    const {level} = await this.decide(), step = this.step;
    const arm = this.plays.principal.advance(level);
    this.plays.burst.advance(burstLevel(this.settings, step));
    this.plays.alone.advance(0);
    this.steering.observe(arm, level);
    this.decision = null;
  }
}
