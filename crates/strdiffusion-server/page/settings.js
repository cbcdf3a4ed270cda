import { byId, show } from './dom.js';
import { usualGrowth } from './growth.js';

const LARGEST_SEED = Number.MAX_SAFE_INTEGER - 8; // each candidate adds one
const MOST_ROUNDS = 32;
const MOST_PIXELS = 4096;

/** The settings of a fill; their defaults are the model's own. */
export class Settings {
  constructor() {
    this.models = [];
    this.model = null;
    byId('settings').addEventListener('submit', (event) => event.preventDefault());
    byId('settings').addEventListener('input', () => this.refresh());
    this.growthIsChosen = false;
    byId('grow').addEventListener('input', () => {
      this.growthIsChosen = true;
    });
    byId('dice').addEventListener('click', () => this.roll());
    byId('reset-settings').addEventListener('click', () => this.reset());
    byId('model').addEventListener('change', () => this.useModel(Number(byId('model').value)));
  }

  /** Takes the models that can be chosen, as `/v1/models` gives them; the first is in use. */
  useModels(models) {
    this.models = models;
    byId('model').replaceChildren(
      ...models.map(({ name }, index) => new Option(name, String(index))),
    );
    show(models.length > 1, byId('model-field'));
    if (models.length > 0) this.useModel(0);
  }

  useModel(index) {
    const model = this.models[index];
    this.model = model;
    this.reset();
    byId('model-note').textContent =
      `Model “${model.name}” on ${model.device}. It works at ${model.resolution} × ${model.resolution} pixels around each hole; finer detail comes from the photo itself.`;
  }

  reset() {
    if (!this.model) return;
    for (const name of ['sampler', 'steps', 'resampling']) {
      byId(name).value = this.model.defaults[name] ?? '';
    }
    this.refresh();
  }

  /** Pixels that the hole gains; 0 where what is written is no number. */
  get growth() {
    return Number(byId('grow').value) || 0;
  }

  /**
   * Takes the growth that suits a photo, unless a person chose one: what a mask says is taken as it is.
   * @param {import('./painting.js').Painting} painting
   */
  growFor({ photo, masked }) {
    if (this.growthIsChosen) return;
    byId('grow').value = String(masked ? 0 : usualGrowth(photo));
    this.refresh();
  }

  /** Takes another random seed. */
  roll() {
    byId('seed').value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    this.refresh();
  }

  /**
   * The settings as the server takes them. Only what differs from the model's own is named.
   * @returns {object | null} null where a field is wrong; the page then says which
   */
  read() {
    const problem = this.refresh();
    if (problem) {
      if (problem.field.closest('details')) byId('sampling').open = true;
      problem.field.focus();
      return null;
    }
    const settings = {
      seed: Number(byId('seed').value),
      candidates: Number(byId('candidates').value),
    };
    for (const name of ['grow', 'feather']) {
      if (Number(byId(name).value) > 0) settings[name] = Number(byId(name).value);
    }
    if (!this.model) return settings; // the server was not there when the page was opened
    const { name, defaults } = this.model;
    const changed = (id) => byId(id).value !== '' && byId(id).value !== String(defaults[id]);
    if (this.model !== this.models[0]) settings.model = name;
    if (changed('sampler')) settings.sampler = byId('sampler').value;
    if (changed('steps') && !byId('steps').disabled) settings.steps = Number(byId('steps').value);
    if (changed('resampling')) settings.resampling = Number(byId('resampling').value);
    return settings;
  }

  /** Brings the page up to date and returns the first problem, if any. */
  refresh() {
    byId('steps').disabled = byId('sampler').value === 'paper'; // it takes every step
    const problems = [];
    const whole = (id, name, least, most, optional = false) => {
      const field = byId(id);
      const value = field.value.trim();
      const right =
        field.disabled ||
        (optional && value === '' && !field.validity.badInput) ||
        (/^\d+$/.test(value) && Number(value) >= least && Number(value) <= most);
      field.setAttribute('aria-invalid', String(!right));
      if (!right) problems.push({ field, text: `${name} must be a whole number from ${least} to ${most}.` });
    };
    whole('candidates', 'Candidates', 1, 8);
    whole('seed', 'The seed', 0, LARGEST_SEED);
    whole('grow', 'The growth', 0, MOST_PIXELS, true);
    whole('feather', 'The feather', 0, MOST_PIXELS, true);
    whole('steps', 'Steps', 1, this.model?.timesteps ?? 1000, true);
    whole('resampling', 'Resampling rounds', 0, MOST_ROUNDS, true);
    const error = byId('settings-error');
    error.textContent = problems[0]?.text ?? '';
    show(problems.length > 0, error);
    return problems[0] ?? null;
  }
}
