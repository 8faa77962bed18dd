// Learning rules, as in mermaide_pl.agents; a test holds them to those, arm by arm.
"use strict";

/** Index of the largest value, ties broken by the largest of the uniform numbers. */
function randomArgmax(values, uniforms) {
  const best = Math.max(...values);
  let found = -1;
  values.forEach((value, arm) => {
    if (value === best && (found < 0 || uniforms[arm] > uniforms[found])) found = arm;
  });
  return found;
}

const gumbel = uniform => -Math.log(-Math.log(uniform));

/** A rule that remembers pulls and sums of rewards. */
class MeanTracking {
  /** Uniform numbers read in a step, besides one per arm. */
  static moreUniforms = 0;

  constructor(numArms, parameters) {
    this.parameters = parameters;
    this.pulls = new Array(numArms).fill(0);
    this.sums = new Array(numArms).fill(0);
    this.step = 1;
  }

  /** Means of the rewards; `untried` for arms that were never pulled. */
  means(untried) {
    return this.sums.map((sum, arm) => this.pulls[arm] ? sum / this.pulls[arm] : untried);
  }

  learn(arm, reward) {
    this.pulls[arm] += 1;
    this.sums[arm] += reward;
    this.step += 1;
  }
}

class UCB extends MeanTracking {
  static title = "UCB";
  static about = "picks the arm with the highest upper confidence bound";
  static parameters = {
    beta: {label: "exploration", value: 0.5, min: 0, max: 3, step: 0.05},
  };

  act(uniforms) {
    const log = Math.log(this.step);
    const bounds = this.means(Infinity).map(
      (mean, arm) => mean + this.parameters.beta * Math.sqrt(log / Math.max(1, this.pulls[arm])));
    return randomArgmax(bounds, uniforms);
  }
}

class EpsilonGreedy extends MeanTracking {
  static title = "Epsilon-greedy";
  static about = "picks the arm with the best mean, and a random arm now and then";
  static moreUniforms = 1;
  static parameters = {
    epsilon: {label: "chance of a random arm", value: 0.1, min: 0, max: 1, step: 0.01},
    decay: {label: "fall of that chance per step", value: 0, min: 0, max: 1, step: 0.005},
  };

  act(uniforms) {
    const {epsilon, decay} = this.parameters;
    const explores = uniforms[0] < epsilon / (1 + decay * (this.step - 1));
    return randomArgmax(explores ? this.pulls.map(() => 0) : this.means(Infinity),
      uniforms.slice(1));
  }
}

class Softmax extends MeanTracking {
  static title = "Softmax";
  static about = "picks better arms exponentially more often";
  static parameters = {
    temperature: {label: "temperature", value: 0.1, min: 0.01, max: 1, step: 0.01},
  };

  act(uniforms) {
    const values = this.means(Infinity).map(
      (mean, arm) => mean + this.parameters.temperature * gumbel(uniforms[arm]));
    return randomArgmax(values, uniforms);
  }
}

class GaussianThompson extends MeanTracking {
  static title = "Thompson sampling";
  static about = "draws a mean for each arm from what it believes, and picks the best";
  static parameters = {
    prior_mean: {label: "expected reward at first", value: 0.5, min: -1, max: 2, step: 0.05},
    prior_scale: {label: "spread of that", value: 0.3, min: 0.01, max: 2, step: 0.01},
    noise_scale: {label: "noise it assumes", value: 0.1, min: 0.01, max: 1, step: 0.01},
  };

  act(uniforms) {
    const {prior_mean, prior_scale, noise_scale} = this.parameters;
    const priorPulls = (noise_scale / prior_scale) ** 2;
    const drawn = this.pulls.map((pulls, arm) =>
      (this.sums[arm] + priorPulls * prior_mean) / (priorPulls + pulls)
      + noise_scale / Math.sqrt(priorPulls + pulls) * normalQuantile(uniforms[arm]));
    return randomArgmax(drawn, uniforms);
  }
}

class RescorlaWagner {
  static moreUniforms = 0;
  static title = "Rescorla-Wagner";
  static about = "learns from prediction errors and has habits, as a model of human choice";
  static parameters = {
    learning_rate: {label: "learning rate", value: 0.2, min: 0.01, max: 1, step: 0.01},
    temperature: {label: "temperature", value: 0.1, min: 0.01, max: 1, step: 0.01},
    perseveration: {label: "habit", value: 0, min: -1, max: 1, step: 0.05},
    initial_value: {label: "value of each arm at first", value: 0.5, min: -1, max: 2, step: 0.05},
  };

  constructor(numArms, parameters) {
    this.parameters = parameters;
    this.values = new Array(numArms).fill(parameters.initial_value);
    this.latest = -1;
  }

  act(uniforms) {
    const {temperature, perseveration} = this.parameters;
    const preferences = this.values.map((value, arm) =>
      value + (arm === this.latest ? perseveration : 0) + temperature * gumbel(uniforms[arm]));
    return randomArgmax(preferences, uniforms);
  }

  learn(arm, reward) {
    this.values[arm] += this.parameters.learning_rate * (reward - this.values[arm]);
    this.latest = arm;
  }
}

/** The rules by the names of their classes in mermaide_pl.agents. */
const RULES = {UCB, EpsilonGreedy, Softmax, GaussianThompson, RescorlaWagner};
