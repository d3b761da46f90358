
// ---- The report ----

const report = JSON.parse(document.getElementById("report").textContent);
const clouds = report.clouds ?? [];
const verdicts = report.verdicts ?? [];
const counts = { passed: 0, failed: 0, unproven: 0, "not-run": 0, ...report.counts };

function sized(bytes) {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  return `${(bytes / 1024 ** power).toFixed(power < 3 ? 0 : 1)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** Seconds for people: `171.2` is `2 min 51 s`. */
function lasted(value) {
  if (value < 60) return seconds(value);
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

/** A table; `stacks` tells that its rows become blocks where there is little room. The roles keep it a table then, too. */
function table({ name, caption, columns, rows, stacks = false, heads = false }) {
  return make(
    "div",
    { class: "sheet frame", role: "region", "aria-label": caption, tabindex: 0 },
    make(
      "table",
      { class: `${name} ${stacks ? "stacks" : ""}`, role: "table" },
      make("caption", { class: "away" }, caption),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, columns.map((column) => make("th", { role: "columnheader", scope: "col" }, column)))),
      make(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) =>
          make(
            "tr",
            { role: "row" },
            row.map((cell, place) =>
              heads && place === 0
                ? make("th", { role: "rowheader", scope: "row" }, cell)
                : make("td", { role: "cell", "data-column": columns[place] }, make("div", {}, cell)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Sections in the order of the page: id, title, number in the menu, and what is in it. */
const sections = [];

function section(id, title, number, ...content) {
  sections.push({ id, title, number });
  return make("section", { id, "aria-labelledby": `${id}-title` }, make("h2", { id: `${id}-title` }, title), content);
}

function lead(text) {
  return make("p", { class: "lead" }, text);
}

// -- The verdict --

function top() {
  const begun = new Date(report.begun);
  const date = Number.isNaN(begun.getTime())
    ? report.begun
    : `${begun.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" })} UTC`;
  const words = { passed: "Passed", failed: "Failed", unproven: "Unproven" };
  const name = words[report.conclusion] === undefined ? "unproven" : report.conclusion;
  document.title = `${words[name]}: trinity-e2e run ${report.run}`;
  fill(
    document.getElementById("top"),
    make(
      "p",
      { class: "meta" },
      make("span", {}, `trinity-e2e ${report.version}`),
      make("span", {}, "run ", make("code", {}, report.run)),
      make("time", { datetime: report.begun }, date),
      make("span", {}, lasted(report.seconds)),
    ),
    make("h1", {}, make("span", { class: `conclusion ${name}` }, icon(name), words[name]), " ", make("span", { class: "headline" }, report.headline)),
    (report.substituted ?? []).length > 0 &&
      make("p", { class: "note" }, "Stand-ins ran in the place of ", report.substituted.map((image, place) => [place > 0 && ", ", make("code", {}, image)]), ": this run proves nothing about them."),
    make(
      "ul",
      { class: "counts sheet", "aria-label": "Verdicts" },
      Object.entries(counts).map(([kind, number]) =>
        make("li", { class: number === 0 ? "none" : "" }, make("b", {}, number.toLocaleString("en")), outcome(kind, (WORDS[kind] ?? kind).toLowerCase())),
      ),
    ),
  );
}

// -- Findings --

function finding(verdict, number) {
  const { cause, reason } = verdict;
  const evidence = cause?.evidence ?? [];
  // What came in several lines is told as it came.
  const whole = (reason ?? "").trim();
  const told = evidence.join("\n");
  const id = `finding-${number + 1}`;
  return make(
    "article",
    { class: "finding sheet", id, "aria-labelledby": `${id}-title` },
    make(
      "p",
      { class: "about" },
      outcome(verdict.outcome),
      verdict.cloud && make("span", { class: "tag" }, verdict.cloud),
      make("span", { class: "quiet" }, verdict.subject),
      cause?.kind && make("code", { class: "tag" }, cause.kind),
    ),
    make("h3", { id: `${id}-title` }, verdict.claim),
    evidence.length > 0 && [make("h4", {}, "Evidence"), make("ul", { class: "evidence" }, evidence.map((line) => make("li", {}, line)))],
    cause?.next && [make("h4", {}, "Next"), make("p", { class: "next" }, cause.next)],
    evidence.length === 0 && whole !== "" && [make("h4", {}, "Reason"), make("p", { class: "evidence" }, whole)],
    evidence.length > 0 && whole !== "" && whole !== told && make("details", {}, make("summary", {}, "As the run told it"), make("p", { class: "evidence" }, whole)),
  );
}

function findings() {
  const found = verdicts.filter((verdict) => verdict.outcome === "failed" || verdict.outcome === "unproven");
  if (found.length === 0) return null;
  found.sort((a, b) => (a.outcome < b.outcome ? -1 : a.outcome > b.outcome ? 1 : 0));
  return section("findings", "Findings", found.length, found.map(finding));
}

// -- Clouds --

function tally(cloud) {
  const own = verdicts.filter((verdict) => verdict.cloud === cloud);
  const sum = (kind) => own.filter((verdict) => verdict.outcome === kind).length;
  const kinds = ["passed", "failed", "unproven", "not-run"].map((kind) => [kind, sum(kind)]).filter(([, number]) => number > 0);
  return kinds.length === 0 ? "none" : make("ul", {}, kinds.map(([kind, number]) => make("li", {}, outcome(kind, `${number} ${WORDS[kind].toLowerCase()}`))));
}

function states() {
  if (clouds.length === 0) return null;
  // In their order: a world that ended early lacks some in the middle.
  const last = new Map();
  for (const phase of clouds.flatMap(({ phases }) => phases ?? [])) last.set(phase.name, Math.max(last.get(phase.name) ?? 0, phase.begun));
  const names = [...last.keys()].sort((a, b) => last.get(a) - last.get(b));
  const each = (cell) => clouds.map(cell);
  const number = (text) => make("span", { class: "number" }, text);
  const took = (cloud, name) => (cloud.phases ?? []).filter((phase) => phase.name === name).map((phase) => number([seconds(phase.seconds, 0.1), phase.critical && make("span", { class: "away" }, ", on the critical path"), phase.critical && make("span", { class: "critical", "aria-hidden": "true" }, " ◆")]));
  const state = (named, told) => [make("div", {}, named), make("div", { class: "quiet small" }, told)];
  const secrets = clouds.flatMap((cloud) =>
    (cloud.secrets ?? []).map((secret) => [
      cloud.cloud,
      state(secret.store, secret.store_state),
      [make("div", {}, secret.external_secret), outcome(secret.ready ? "passed" : "failed", secret.state)],
      state(secret.secret, secret.holds),
    ]),
  );
  return section(
    "clouds",
    "Clouds",
    clouds.length,
    table({
      name: "clouds",
      caption: "Worlds, verdicts, phases and memory",
      heads: true,
      columns: [make("span", { class: "away" }, "What"), ...each((cloud) => cloud.cloud)],
      rows: [
        ["World", ...each((cloud) => (cloud.world ? make("code", {}, cloud.world) : "did not come up"))],
        ["Verdicts", ...each((cloud) => tally(cloud.cloud))],
        ...names.map((name) => [name, ...each((cloud) => took(cloud, name))]),
        ["Most memory", ...each((cloud) => ((cloud.memory ?? null) === null ? "not measured" : number(sized(cloud.memory))))],
      ],
    }),
    secrets.length > 0 && [
      make("h3", {}, "Stores and secrets"),
      table({ name: "secrets", caption: "Stores, ExternalSecrets and Secrets", stacks: true, columns: ["Cloud", "Store", "ExternalSecret", "Secret"], rows: secrets }),
    ],
  );
}

// -- Identity --

const ABOUT = {
  "service account": "Service account",
  token: "Token",
  exchange: "Exchange",
  permission: "Permission",
  value: "Value",
};

function chain(cloud) {
  let whole = true;
  return make(
    "li",
    {},
    make("h3", {}, cloud.cloud),
    make(
      "ol",
      { class: "chain" },
      cloud.chain.map((link) => {
        whole = whole && link.outcome === "passed";
        return make(
          "li",
          { class: `link ${link.outcome} ${whole ? "" : "broken"}` },
          make("span", { class: "knot" }, icon(link.outcome)),
          make("div", { class: "name" }, ABOUT[link.link] ?? link.link),
          make("div", { class: "word" }, WORDS[link.outcome] ?? link.outcome),
          link.seen && make("div", { class: "seen" }, link.seen),
        );
      }),
    ),
  );
}

function identity() {
  const drawn = clouds.filter((cloud) => (cloud.chain ?? []).length > 0);
  if (drawn.length === 0) return null;
  return section(
    "identity",
    "Identity",
    null,
    lead("How the operator gets from its service account to a value, link by link. What comes after a broken link was not reached."),
    make("ul", { class: "chains" }, drawn.map(chain)),
  );
}

// -- Timeline --

function timeline() {
  const phases = (list, object) => (list ?? []).map((phase) => ({ at: phase.begun, until: phase.begun + phase.seconds, lane: "phases", object: object ?? phase.name, what: phase.name }));
  const groups = [
    // The run's own phases overlap, a world's do not.
    { cloud: "run", entries: phases(report.phases) },
    ...clouds.map(({ cloud, timeline, phases: own }) => ({ cloud, entries: [...phases(own, "phases"), ...(timeline ?? [])] })),
  ];
  if (groups.every(({ entries }) => entries.length === 0)) return null;
  const drawn = new Timeline(groups, report.seconds);
  const left = clouds.filter((cloud) => cloud.left_out > 0).map((cloud) => `${cloud.left_out.toLocaleString("en")} of ${cloud.cloud}`);
  return section(
    "timeline",
    "Timeline",
    null,
    lead(`What was observed, all clouds on one axis, in seconds since the run began.${left.length > 0 ? ` There was no room for further entries: ${left.join(", ")}.` : ""}`),
    drawn.element(),
  );
}

// -- Where the time went --

function times() {
  const groups = [{ name: "run", phases: report.phases ?? [] }, ...clouds.map(({ cloud, phases }) => ({ name: cloud, phases: phases ?? [] }))].filter(({ phases }) => phases.length > 0);
  if (groups.length === 0) return null;
  const end = Math.max(report.seconds, ...groups.flatMap(({ phases }) => phases.map((phase) => phase.begun + phase.seconds)), 0.1);
  const critical = groups
    .flatMap(({ name, phases }) => phases.filter((phase) => phase.critical).map((phase) => ({ ...phase, group: name })))
    .sort((a, b) => a.begun - b.begun);
  const fall = (phase) => {
    const bar = make("i");
    bar.style.left = `${(phase.begun / end) * 100}%`;
    bar.style.width = `${(phase.seconds / end) * 100}%`;
    return make(
      "li",
      { class: `fall ${phase.critical ? "critical" : ""}` },
      make("span", { class: "name" }, phase.name, phase.critical && make("span", { class: "away" }, ", on the critical path")),
      make("span", { class: "bar", "aria-hidden": "true" }, bar),
      make("span", { class: "number" }, seconds(phase.seconds, 0.1)),
    );
  };
  const path = critical.map((phase, place) => [place > 0 && " → ", make("span", { class: "number" }, `${phase.group === "run" ? "" : `${phase.group} `}${phase.name} ${seconds(phase.seconds, 0.1)}`)]);
  return section(
    "time",
    "Where the time went",
    null,
    report.time && make("p", {}, report.time),
    critical.length > 0 && make("p", { class: "lead path" }, "The critical path, without which the run cannot be shorter (◆): ", path, "."),
    make("div", { class: "falls sheet" }, groups.map(({ name, phases }) => [make("h3", {}, name), make("ul", {}, phases.map(fall))])),
  );
}

// -- All verdicts --

/** Rows one after the other, but those of one subject that have all passed as one row that opens. */
function folded(rows) {
  const same = (a, b) => a.outcome === "passed" && b.outcome === "passed" && a.cloud === b.cloud && a.subject === b.subject;
  const groups = [];
  for (const row of rows) {
    const group = groups[groups.length - 1];
    if (group !== undefined && same(group[0].verdict, row.verdict)) group.push(row);
    else groups.push([row]);
  }
  return groups.map((group) => {
    if (group.length === 1) return group[0].element;
    const [{ verdict }] = group;
    const sum = group.reduce((all, row) => all + (row.verdict.seconds ?? 0), 0);
    return make(
      "li",
      { class: "verdict" },
      outcome("passed"),
      make("span", { class: "where" }, verdict.cloud),
      make("details", { class: "what" }, make("summary", {}, `${verdict.subject}: ${count(group.length, "claim")}`), make("ul", { class: "claims" }, group.map((row) => make("li", {}, row.verdict.claim)))),
      make("span", { class: "number" }, sum > 0 && seconds(sum, sum < 10 ? 0.01 : 0.1)),
    );
  });
}

function all() {
  if (verdicts.length === 0) return null;
  const chosen = { outcomes: new Set(Object.keys(WORDS)), cloud: "", text: "" };
  const rows = verdicts.map((verdict) => {
    const reason = (verdict.reason ?? "").trim();
    return {
      verdict,
      words: `${verdict.subject} ${verdict.claim} ${verdict.note ?? ""} ${reason}`.toLowerCase(),
      element: make(
        "li",
        { class: "verdict" },
        outcome(verdict.outcome),
        make("span", { class: "where" }, verdict.cloud),
        make(
          "div",
          { class: "what" },
          make("div", {}, make("span", { class: "quiet" }, `${verdict.subject}: `), verdict.claim),
          verdict.note && make("p", { class: "reason" }, verdict.note),
          reason !== "" && make("p", { class: "reason" }, reason),
        ),
        make("span", { class: "number" }, verdict.seconds === undefined || verdict.seconds === null ? "" : seconds(verdict.seconds, verdict.seconds < 10 ? 0.01 : 0.1)),
      ),
    };
  });
  const list = make("ul", { class: "sheet", id: "verdict-list" });
  const status = make("p", { class: "status", role: "status" });
  const arrange = () => {
    const shown = rows.filter(
      ({ verdict, words }) =>
        chosen.outcomes.has(verdict.outcome) && (chosen.cloud === "" || (verdict.cloud ?? "run") === chosen.cloud) && words.includes(chosen.text),
    );
    fill(list, chosen.text === "" ? folded(shown) : shown.map((row) => row.element));
    if (shown.length === 0) list.append(make("li", { class: "nothing" }, "No verdict matches."));
    status.textContent = shown.length === rows.length ? `All ${count(rows.length, "verdict")}` : `${shown.length} of ${count(rows.length, "verdict")}`;
  };
  const box = (kind) =>
    make(
      "label",
      {},
      make("input", {
        type: "checkbox",
        checked: true,
        value: kind,
        onchange: (event) => {
          if (event.target.checked) chosen.outcomes.add(kind);
          else chosen.outcomes.delete(kind);
          arrange();
        },
      }),
      outcome(kind),
    );
  const places = [...new Set(verdicts.map((verdict) => verdict.cloud ?? "run"))];
  const controls = make(
    "div",
    { class: "controls" },
    make("fieldset", { class: "field", id: "outcomes" }, make("legend", {}, "Outcome"), make("div", { class: "choices" }, Object.keys(WORDS).map(box))),
    make(
      "div",
      { class: "field" },
      make("label", { for: "cloud" }, "Cloud"),
      make(
        "select",
        {
          id: "cloud",
          onchange: (event) => {
            chosen.cloud = event.target.value;
            arrange();
          },
        },
        make("option", { value: "" }, "all"),
        places.map((place) => make("option", { value: place }, place === "run" ? "none: the whole run" : place)),
      ),
    ),
    make(
      "div",
      { class: "field" },
      make("label", { for: "claim" }, "Filter by text"),
      make("input", {
        type: "search",
        id: "claim",
        autocomplete: "off",
        spellcheck: "false",
        oninput: (event) => {
          chosen.text = event.target.value.trim().toLowerCase();
          arrange();
        },
      }),
    ),
  );
  arrange();
  return section("verdicts", "All verdicts", rows.length, controls, status, list);
}

// -- What else is known --

function queries() {
  const asked = report.queries ?? [];
  if (asked.length === 0) return null;
  return section(
    "queries",
    "Queries",
    asked.length,
    lead("What the platform's queries over all clouds were answered."),
    make("ul", { class: "sheet list" }, asked.map(({ query, answers }) => make("li", {}, make("code", {}, query), make("ul", { class: "answers" }, answers.length === 0 ? make("li", {}, "no series") : answers.map((answer) => make("li", {}, make("code", {}, answer))))))),
  );
}

function components() {
  const parts = report.components ?? [];
  if (parts.length === 0) return null;
  return section(
    "components",
    "Components",
    parts.length,
    lead("What the worlds were made of, and where each part came from."),
    table({ name: "components", caption: "Parts and their origins", stacks: true, columns: ["Name", "Version", "From"], rows: parts.map(({ name, version, origin }) => [name, make("code", {}, version), origin]) }),
  );
}

function left() {
  const missing = verdicts.filter((verdict) => verdict.outcome === "not-run");
  if (missing.length === 0) return null;
  return section(
    "not-run-list",
    "Not run",
    missing.length,
    lead("What this run says nothing about, and why."),
    make("ul", { class: "sheet list" }, missing.map(({ cloud, subject, claim, reason }) => make("li", {}, cloud && [make("span", { class: "tag" }, cloud), " "], make("span", { class: "quiet" }, `${subject}: `), make("b", {}, claim), make("p", { class: "quiet" }, reason)))),
  );
}

top();
fill(document.getElementById("main"), findings(), states(), identity(), timeline(), times(), all(), queries(), components(), left());
fill(
  document.getElementById("sections"),
  make("ul", {}, sections.map(({ id, title, number }) => make("li", {}, make("a", { href: `#${id}` }, title, number !== null && [" ", make("b", {}, number.toLocaleString("en"))])))),
);
