// ---- Elements and words that all parts of the page use ----

/** An element with properties, attributes and children; texts become text, never markup. */
function make(tag, properties, ...children) {
  const svg = tag === "svg" || tag === "use";
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  return fill(element, children);
}

/** Puts these, and nothing else, into an element; what is nothing is left out. */
function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

const WORDS = { passed: "Passed", failed: "Failed", unproven: "Unproven", "not-run": "Not run" };

function icon(outcome) {
  return make("svg", { class: `icon ${outcome}`, "aria-hidden": "true" }, make("use", { href: `#${outcome}` }));
}

/** Picture and word of an outcome. */
function outcome(name, text = WORDS[name] ?? name) {
  return make("span", { class: `outcome ${name}` }, icon(name), make("span", {}, text));
}

/** A number as people of this page's language write it. */
function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Seconds, as exact as `step` needs. */
function seconds(value, step = value < 10 ? 0.1 : 1) {
  const digits = step >= 1 ? 0 : Math.min(3, Math.ceil(-Math.log10(step) - 1e-9));
  return `${value.toFixed(digits)} s`;
}

// ---- The timeline ----

const LANES = ["phases", "applications", "waves", "pods", "stores", "secrets", "requests"];
const GRAVITY = { good: 0, neutral: 1, bad: 2 };
const TOLD = { good: "good", neutral: "", bad: "bad" };
/** Marks nearer to each other than this (pixels) are drawn as one. */
const NEAR = 13;
/** The shortest time that can be looked at (seconds). */
const SHORTEST = 0.05;

/**
 * Entries of all clouds on one axis. Only the rows in view are in the document, and of a row only what is in view; what
 * would overlap is one mark with its number. So the document stays small, however many entries there are.
 */
class Timeline {
  /** `groups`: `{cloud, entries}`; `end`: the run's end (seconds). */
  constructor(groups, end) {
    this.objects = groups.flatMap(({ cloud, entries }) => objects(cloud, entries));
    this.total = this.objects.reduce((sum, object) => sum + object.entries.length, 0);
    this.end = this.objects.reduce((last, object) => Math.max(last, object.last), Math.max(end, SHORTEST));
    this.from = 0;
    this.to = this.end;
    this.filter = "";
    this.clouds = new Set(this.objects.map((object) => object.cloud));
    this.lanes = new Set(this.objects.map((object) => object.lane));
    /** What is chosen: `{object, first}`, the row and the number of its entry. */
    this.chosen = null;
    this.marks = new Map();
  }

  element() {
    const button = (text, label, action) =>
      make("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    this.buttons = {
      closer: button("+", "Zoom in", () => this.zoom(0.5)),
      wider: button("−", "Zoom out", () => this.zoom(2)),
      whole: button("All", "All of the run", () => this.show(0, this.end)),
      earlier: button("←", "Earlier", () => this.pan(-0.5)),
      later: button("→", "Later", () => this.pan(0.5)),
    };
    this.status = make("p", { class: "status", role: "status" });
    this.rows = make("div", { class: "rows" });
    this.ticks = make("div", { class: "ticks" });
    this.grid = make("div", { class: "grid" });
    this.plot = make(
      "div",
      {
        class: "plot",
        id: "plot",
        role: "listbox",
        tabindex: 0,
        "aria-label": "Entries of the timeline",
        "aria-describedby": "keys",
        onkeydown: (event) => this.key(event),
        onscroll: () => this.draw(),
        onclick: (event) => this.click(event),
        onfocus: () => this.chosen === null && this.plot.matches(":focus-visible") && this.first(),
      },
      make("div", { class: "axis", "aria-hidden": "true" }, this.ticks),
      make("div", { class: "body", role: "presentation" }, this.grid, this.rows),
    );
    this.plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.plot.addEventListener("pointerdown", (event) => this.drag(event));
    this.details = make("div", { class: "details", id: "entry", "aria-live": "polite" });
    this.tell();
    this.narrow = matchMedia("(max-width: 44rem)");
    this.narrow.addEventListener("change", () => this.arrange());
    new ResizeObserver(() => this.draw()).observe(this.plot);
    const controls = make(
      "div",
      { class: "controls" },
      make(
        "div",
        { class: "field" },
        make("label", { for: "object" }, "Filter by object"),
        make("input", { type: "search", id: "object", autocomplete: "off", spellcheck: "false", oninput: (event) => this.sift(event.target.value) }),
      ),
      make(
        "div",
        { class: "field", role: "group", "aria-labelledby": "zoom" },
        make("span", { class: "away", id: "zoom" }, "Time in view"),
        make("div", { class: "buttons" }, Object.values(this.buttons)),
      ),
      this.clouds.size > 1 && this.choice("Clouds", this.clouds),
      this.choice("What", this.lanes),
    );
    this.arrange();
    return make("div", {}, controls, this.status, make("div", { class: "sheet board" }, this.plot, this.details), legend());
  }

  /** Checkboxes that put the members of `set` in and out. */
  choice(title, set) {
    const boxes = [...set].map((name) =>
      make(
        "label",
        {},
        make("input", {
          type: "checkbox",
          checked: true,
          onchange: (event) => {
            if (event.target.checked) set.add(name);
            else set.delete(name);
            this.arrange();
          },
        }),
        name,
      ),
    );
    return make("fieldset", { class: "field" }, make("legend", {}, title), make("div", { class: "choices" }, boxes));
  }

  sift(text) {
    this.filter = text.trim().toLowerCase();
    this.arrange();
  }

  /** Decides which rows there are, and where. */
  arrange() {
    const shown = this.objects.filter(
      (object) => this.clouds.has(object.cloud) && this.lanes.has(object.lane) && object.words.includes(this.filter),
    );
    const [heading, row] = this.narrow.matches ? [28, 42] : [26, 26];
    this.lines = [];
    let top = 0;
    const put = (line, height) => {
      this.lines.push({ ...line, top, height });
      top += height;
    };
    shown.forEach((object, place) => {
      const before = shown[place - 1];
      if (before?.cloud !== object.cloud) put({ of: "cloud", text: object.cloud }, heading);
      if (object.lane !== LANES[0] && (before?.cloud !== object.cloud || before?.lane !== object.lane)) put({ of: "lane", text: object.lane }, heading);
      put({ of: "object", object }, row);
    });
    this.height = top;
    this.shown = shown;
    if (this.chosen !== null && !shown.includes(this.chosen.object)) this.choose(null);
    this.draw();
  }

  // -- Time in view --

  show(from, to) {
    const span = Math.min(Math.max(to - from, SHORTEST), this.end);
    this.from = Math.min(Math.max(from, 0), this.end - span);
    this.to = this.from + span;
    this.draw();
  }

  /** Makes the time in view `factor` times as long; what is `about` (seconds) stays where it is. */
  zoom(factor, about = this.middle()) {
    const kept = Math.min(Math.max(about, this.from), this.to);
    this.show(kept - (kept - this.from) * factor, kept + (this.to - kept) * factor);
  }

  pan(share) {
    const step = (this.to - this.from) * share;
    this.show(this.from + step, this.to + step);
  }

  middle() {
    const at = this.chosen?.object.entries[this.chosen.first].at;
    return at >= this.from && at <= this.to ? at : (this.from + this.to) / 2;
  }

  // -- Drawing --

  draw() {
    if (this.lines === undefined || this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.paint();
    });
  }

  paint() {
    const width = this.ticks.clientWidth || 600;
    const scale = (at) => ((at - this.from) / (this.to - this.from)) * width;
    this.axis(width);
    const above = this.plot.scrollTop;
    const below = above + (this.plot.clientHeight || 700);
    this.rows.style.height = `${this.height}px`;
    this.marks.clear();
    const lines = this.lines.filter((line) => line.top + line.height > above - 60 && line.top < below + 60);
    this.rows.replaceChildren(...lines.map((line) => this.line(line, scale, width)));
    if (this.shown.length === 0) {
      this.rows.style.height = "";
      this.rows.append(make("p", { class: "nothing", role: "presentation" }, "No object matches."));
    }
    const here = this.chosen && this.rows.querySelector(".here");
    if (here) this.plot.setAttribute("aria-activedescendant", here.id);
    else this.plot.removeAttribute("aria-activedescendant");
    const whole = this.from <= 0 && this.to >= this.end;
    this.buttons.wider.disabled = this.buttons.whole.disabled = whole;
    this.buttons.earlier.disabled = this.from <= 0;
    this.buttons.later.disabled = this.to >= this.end;
    this.buttons.closer.disabled = this.to - this.from <= SHORTEST;
    this.report();
  }

  axis(width) {
    const span = this.to - this.from;
    const rough = span / Math.max(2, Math.floor(width / 75));
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const ticks = [];
    const lines = [];
    for (let n = Math.ceil(this.from / step - 1e-9); n * step <= this.to + 1e-9; n += 1) {
      const left = `${((n * step - this.from) / span) * 100}%`;
      const tick = make("span", { class: "tick" }, seconds(n * step, step));
      const line = make("i");
      tick.style.left = line.style.left = left;
      ticks.push(tick);
      lines.push(line);
    }
    this.ticks.replaceChildren(...ticks);
    this.grid.replaceChildren(...lines);
  }

  line(line, scale, width) {
    if (line.of !== "object") {
      const heading = make("div", { class: `row of-${line.of}`, role: "presentation" }, make("div", { class: "object", "aria-hidden": "true" }, line.text));
      heading.style.top = `${line.top}px`;
      heading.style.height = `${line.height}px`;
      return heading;
    }
    const { object } = line;
    const marks = gather(object, this.from, this.to, scale);
    this.marks.set(object, marks);
    const [kind, name] = split(object.name);
    const label = make("div", { class: "object", title: object.name, "aria-hidden": "true" }, kind && make("span", { class: "kind" }, kind, " "), name);
    const track = make("div", { class: "track", role: "presentation" }, marks.map((mark) => this.mark(object, mark, width)));
    const named = marks.length > 0;
    const row = make(
      "div",
      { class: "row of-object", role: named ? "group" : "presentation", "aria-label": named && `${object.cloud}, ${object.lane}, ${object.name}` },
      label,
      track,
    );
    row.style.top = `${line.top}px`;
    row.object = object;
    return row;
  }

  mark(object, mark, width) {
    const many = mark.last > mark.first;
    const here = this.chosen?.object === object && this.chosen.first >= mark.first && this.chosen.first <= mark.last;
    const entry = object.entries[mark.first];
    const shape = many ? "many" : mark.wide ? "span" : "";
    const left = Math.max(mark.left, -2);
    const right = Math.min(mark.right, width + 2);
    const text = many ? String(mark.last - mark.first + 1) : mark.wide && right - left > 40 ? what(entry) : "";
    const element = make(
      "div",
      {
        class: `mark ${shape} ${mark.outcome} ${mark.wide && !many && text === "" ? "tiny" : ""} ${here ? "here" : ""}`,
        role: "option",
        id: `entry-${object.number}-${mark.first}`,
        "aria-selected": here ? "true" : "false",
        "aria-label": many ? `${count(mark.last - mark.first + 1, "entry", "entries")}, ${span(mark)}` : spoken(object, entry),
      },
      text,
    );
    element.style.left = `${left}px`;
    if (shape !== "") element.style.width = `${right - left}px`;
    return element;
  }

  report() {
    const entries = this.shown.reduce((sum, object) => sum + object.entries.length, 0);
    const of = entries === this.total ? "" : ` of ${this.total.toLocaleString("en")}`;
    const step = (this.to - this.from) / 100;
    const text = `${seconds(this.from, step)} to ${seconds(this.to, step)} · ${entries.toLocaleString("en")}${of} ${entries === 1 && of === "" ? "entry" : "entries"} of ${count(this.shown.length, "object")}`;
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  // -- Choosing --

  choose(chosen) {
    this.chosen = chosen;
    this.tell();
    this.draw();
  }

  /** Tells about what is chosen. */
  tell() {
    if (this.chosen === null) {
      fill(this.details, make("p", { class: "quiet" }, "Choose an entry to see what happened."));
      return;
    }
    const { object, first } = this.chosen;
    const last = Math.max(first, this.chosen.last ?? first);
    const entries = object.entries.slice(first, last + 1);
    const line = (entry) => [
      make("span", { class: "when" }, when(entry)),
      " ",
      make("span", {}, what(entry)),
      TOLD[entry.outcome] !== "" && [" ", make("span", { class: `outcome small ${entry.outcome === "bad" ? "failed" : "passed"}` }, icon(entry.outcome === "bad" ? "failed" : "passed"), TOLD[entry.outcome])],
    ];
    const head = make("p", {}, make("b", {}, object.name), " ", make("span", { class: "quiet" }, `${object.cloud}, ${object.lane}`));
    if (entries.length === 1) {
      fill(this.details, head, make("p", {}, line(entries[0])));
      return;
    }
    const most = 50;
    fill(
      this.details,
      head,
      make("ol", { tabindex: 0, "aria-label": "Entries" }, entries.slice(0, most).map((entry) => make("li", {}, line(entry)))),
      entries.length > most && make("p", { class: "quiet" }, `and ${entries.length - most} more: zoom in to see them`),
    );
  }

  /** Chooses the first entry that is in view. */
  first() {
    const object = this.shown.find((object) => this.marks.get(object)?.length > 0) ?? this.shown[0];
    if (object !== undefined) this.pick(object, this.marks.get(object)?.[0] ?? { first: 0 });
  }

  pick(object, mark) {
    this.reveal(object);
    this.choose({ object, first: mark.first, last: mark.last });
  }

  /** Scrolls so that an object's row is in view. */
  reveal(object) {
    const line = this.lines.find((line) => line.object === object);
    const axis = 34;
    const { scrollTop, clientHeight } = this.plot;
    if (line.top < scrollTop) this.plot.scrollTop = Math.max(0, line.top - 60);
    else if (line.top + line.height + axis > scrollTop + clientHeight) this.plot.scrollTop = line.top + line.height + axis - clientHeight + 8;
  }

  /** The mark that is chosen in a row, as it is drawn now. */
  current() {
    const marks = this.chosen && gather(this.chosen.object, this.from, this.to, this.scale());
    const place = marks ? marks.findIndex((mark) => this.chosen.first >= mark.first && this.chosen.first <= mark.last) : -1;
    return [marks ?? [], place];
  }

  scale() {
    const width = this.ticks.clientWidth || 600;
    return (at) => ((at - this.from) / (this.to - this.from)) * width;
  }

  /** Goes to the mark `step` further in the same row; the time in view follows. */
  along(step) {
    if (this.chosen === null) return this.first();
    const { object } = this.chosen;
    const [marks, place] = this.current();
    const mark = place < 0 ? undefined : marks[place + step];
    if (mark !== undefined) return this.pick(object, mark);
    const next = place < 0 ? this.chosen.first : step > 0 ? marks[place].last + 1 : marks[place].first - 1;
    const entry = object.entries[next];
    if (entry === undefined) return undefined;
    const half = (this.to - this.from) / 2;
    if (entry.at < this.from || entry.at > this.to) this.show(entry.at - half, entry.at + half);
    return this.pick(object, gather(object, this.from, this.to, this.scale()).find((mark) => next >= mark.first && next <= mark.last) ?? { first: next });
  }

  /** Goes to the nearest mark in another row. */
  across(step) {
    if (this.chosen === null) return this.first();
    const at = this.chosen.object.entries[this.chosen.first].at;
    const scale = this.scale();
    for (let place = this.shown.indexOf(this.chosen.object) + step; place >= 0 && place < this.shown.length; place += step) {
      const object = this.shown[place];
      const marks = gather(object, this.from, this.to, scale);
      const far = (mark) => Math.abs((mark.left + mark.right) / 2 - scale(at));
      if (marks.length > 0) return this.pick(object, marks.reduce((best, mark) => (far(mark) < far(best) ? mark : best)));
    }
    return undefined;
  }

  // -- Input --

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [marks] = event.key === "Home" || event.key === "End" ? this.current() : [[]];
    const actions = {
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.show(0, this.end),
      ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this.along(1)),
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this.along(-1)),
      ArrowDown: () => this.across(1),
      ArrowUp: () => this.across(-1),
      Home: () => marks.length > 0 && this.pick(this.chosen.object, marks[0]),
      End: () => marks.length > 0 && this.pick(this.chosen.object, marks[marks.length - 1]),
      Enter: () => this.open(),
      Escape: () => this.choose(null),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  /** Shows the time of the chosen mark, so that what is one mark becomes several. */
  open() {
    if (this.chosen === null) return;
    const entries = this.chosen.object.entries.slice(this.chosen.first, (this.chosen.last ?? this.chosen.first) + 1);
    const from = entries[0].at;
    const to = Math.max(...entries.map((entry) => entry.until ?? entry.at));
    const margin = Math.max((to - from) * 0.1, SHORTEST);
    this.show(from - margin, to + margin);
  }

  wheel(event) {
    if (event.ctrlKey) {
      event.preventDefault();
      const box = this.ticks.getBoundingClientRect();
      const about = this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from);
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 100)) * 0.4), about);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan(event.deltaX / this.ticks.clientWidth);
    }
  }

  drag(event) {
    if (event.button !== 0 || event.pointerType === "touch" || event.target.closest(".mark") || event.offsetX > this.plot.clientWidth) return;
    const { from, to } = this;
    const begun = event.clientX;
    const move = (moved) => {
      const share = (begun - moved.clientX) / this.ticks.clientWidth;
      this.show(from + share * (to - from), to + share * (to - from));
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  /** A click chooses the mark that is nearest in its row. */
  click(event) {
    const object = event.target.closest(".row")?.object;
    if (object === undefined) return;
    const x = event.clientX - this.ticks.getBoundingClientRect().left;
    const far = (mark) => (x < mark.left ? mark.left - x : x > mark.right ? x - mark.right : 0);
    const [mark] = [...(this.marks.get(object) ?? [])].sort((a, b) => far(a) - far(b));
    if (mark !== undefined && far(mark) < 22) this.pick(object, mark);
  }
}

let numbered = 0;

/** Entries of a cloud by lane and object. */
function objects(cloud, entries) {
  const found = new Map();
  for (const entry of entries) {
    const key = `${entry.lane}\n${entry.object}`;
    if (!found.has(key)) {
      const words = `${entry.object}`.toLowerCase();
      found.set(key, { cloud, lane: entry.lane, name: entry.object, words, number: (numbered += 1), entries: [], last: 0, longest: 0 });
    }
    const object = found.get(key);
    object.entries.push({ ...entry, outcome: GRAVITY[entry.outcome] === undefined ? "neutral" : entry.outcome });
    object.last = Math.max(object.last, entry.until ?? entry.at);
    object.longest = Math.max(object.longest, (entry.until ?? entry.at) - entry.at);
  }
  const rank = (lane) => (LANES.indexOf(lane) + LANES.length + 1) % (LANES.length + 1);
  const all = [...found.values()];
  for (const object of all) object.entries.sort((a, b) => a.at - b.at);
  return all.sort((a, b) => rank(a.lane) - rank(b.lane) || a.entries[0].at - b.entries[0].at || (a.name < b.name ? -1 : 1));
}

/** What is drawn of an object between two times: marks with their first and last entry, place (pixels) and gravest outcome. */
function gather(object, from, to, scale) {
  const { entries, longest } = object;
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].at < from - longest) low = middle + 1;
    else high = middle;
  }
  const marks = [];
  for (let place = low; place < entries.length && entries[place].at <= to; place += 1) {
    const entry = entries[place];
    const until = entry.until ?? entry.at;
    if (until < from) continue;
    const left = scale(entry.at);
    const right = scale(until);
    const wide = right - left >= NEAR;
    const before = marks[marks.length - 1];
    if (before !== undefined && before.last === place - 1 && !before.wide && !wide && left - before.left < NEAR + (before.last > before.first ? 8 : 0)) {
      before.last = place;
      before.right = Math.max(before.right, right, left);
      before.until = Math.max(before.until, until);
      if (GRAVITY[entry.outcome] > GRAVITY[before.outcome]) before.outcome = entry.outcome;
      continue;
    }
    marks.push({ first: place, last: place, left, right: Math.max(right, left), wide, outcome: entry.outcome, at: entry.at, until });
  }
  return marks;
}

/** Kind and name of an object that is told as `Kind name`. */
function split(name) {
  const [, kind, rest] = /^([A-Z][A-Za-z]+) (.+)$/.exec(name) ?? [];
  return kind === undefined ? ["", name] : [kind, rest];
}

/** What happened, and how often when that was more than once. */
function what(entry) {
  return (entry.count ?? 1) > 1 ? `${entry.what}, ${count(entry.count, "time")}` : entry.what;
}

function when(entry) {
  const from = seconds(entry.at, 0.01);
  return (entry.until ?? entry.at) > entry.at ? `${from} to ${seconds(entry.until, 0.01)} (${seconds(entry.until - entry.at, 0.01)})` : from;
}

function span(mark) {
  return `${seconds(mark.at, 0.01)} to ${seconds(mark.until, 0.01)}`;
}

function spoken(object, entry) {
  const told = TOLD[entry.outcome];
  return `${what(entry)}, ${when(entry)}${told === "" ? "" : `, ${told}`}, ${object.name}, ${object.cloud}`;
}

function legend() {
  const mark = (kind) => make("span", { class: `mark ${kind}`, "aria-hidden": "true" }, kind.startsWith("many") ? "7" : "");
  const key = (...names) => names.map((name, place) => [place > 0 && " ", make("kbd", {}, name)]);
  return make(
    "div",
    {},
    make(
      "ul",
      { class: "legend" },
      make("li", {}, mark("good"), "good"),
      make("li", {}, mark("bad"), "bad"),
      make("li", {}, mark("neutral"), "neither"),
      make("li", {}, mark("many neutral"), "so many, close together: zoom in"),
    ),
    make(
      "p",
      { class: "small quiet", id: "keys" },
      "In the timeline: ", key("←", "→", "↑", "↓"), " go from entry to entry, ", key("+", "−"), " zoom, ", key("0"), " shows all, ", key("Shift"), " with ", key("←", "→"), " moves the time in view, ", key("Enter"), " zooms to an entry. With the mouse: ", key("Ctrl"), " and the wheel zoom, dragging moves.",
    ),
  );
}
