//! The report's page in a browser: it can be read, used by keyboard and trusted with any text, and it asks no network.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// Numbers of samples are small.
#![allow(clippy::cast_precision_loss)]

mod browser;
mod sample;

use std::{fs, path::PathBuf, sync::OnceLock};

use browser::{Browser, address};
use serde_json::{Value, json};
use tempfile::TempDir;
use trinity_e2e::{
    components::{Options, Store},
    report::{
        data::{Outcome, Report},
        page,
    },
    selftest, workspace,
};

const WIDTHS: [u32; 2] = [1280, 390];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// More tab stops than a page has.
const STOPS: usize = 60;

/// axe's script; the machine has a browser after this.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let store = Store::open(Options::default()).unwrap();
        let script = tokio::runtime::Runtime::new().unwrap().block_on(selftest::browser(&store)).unwrap();
        fs::read_to_string(script).unwrap()
    })
}

/// A browser that shows the page of `report`, as wide as a desk's screen.
fn shown(report: &Report) -> (TempDir, PathBuf, Browser) {
    axe();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(page::FILE);
    fs::write(&file, page::text(report).unwrap()).unwrap();
    let mut browser = Browser::start();
    browser.look(WIDTHS[0], SCHEMES[0]);
    browser.open(&file);
    (folder, file, browser)
}

/// Goes from one tab stop to the next until `selector` has the focus.
fn tab_to(browser: &mut Browser, selector: &str) {
    for _ in 0..STOPS {
        browser.press("Tab");
        if browser.evaluate(&format!("document.activeElement.matches({})", json!(selector))) == true {
            return;
        }
    }
    panic!("{selector} cannot be reached by {STOPS} tabs");
}

const STATUS: &str = "document.querySelector('#timeline .status').textContent";
const DETAILS: &str = "document.querySelector('#entry').textContent";

#[test]
fn it_is_accessible_and_fits_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.look(width, scheme);
            let sizes = browser
                .evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth, innerWidth]");
            assert!(sizes[0] == width && sizes[1] == width && sizes[2] == width, "{width}: {sizes}");
            browser.picture(&workspace().join(format!("target/page/{scheme}-{width}.png")));
            browser.evaluate(axe());
            let violations = browser.evaluate(
                "axe.run(document, {resultTypes: ['violations']}).then((seen) => seen.violations.map((violation) => \
                 `${violation.id}: ${violation.help}: ${violation.nodes.map((node) => node.html).join(' ')}`))",
            );
            assert_eq!(violations, json!([]), "{width} {scheme}");
        }
    }
}

#[test]
fn axe_finds_what_is_wrong() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    browser.evaluate("document.querySelector('label[for=claim]').remove()");
    browser.evaluate(axe());
    let found = browser.evaluate("axe.run(document).then((seen) => seen.violations.map((violation) => violation.id))");
    assert_eq!(found, json!(["label"]));
}

#[test]
fn the_verdict_comes_first_and_headings_skip_no_level() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let first = browser.text("document.querySelector('h1').textContent");
    assert!(first.starts_with("Failed fixtures/platforms/trinity"), "{first}");
    assert!(browser.text("document.title").starts_with("Failed: "));
    let levels = browser.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))");
    let levels: Vec<i64> = levels.as_array().unwrap().iter().filter_map(Value::as_i64).collect();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    let order = browser.evaluate("[...document.querySelectorAll('main > section')].map((section) => section.id)");
    assert_eq!(
        order,
        json!([
            "findings",
            "clouds",
            "identity",
            "timeline",
            "time",
            "verdicts",
            "queries",
            "components",
            "not-run-list"
        ])
    );
    let counts = browser.evaluate("[...document.querySelectorAll('.counts b')].map((b) => Number(b.textContent))");
    assert_eq!(counts, json!(Outcome::ALL.map(|outcome| sample::mixed().counts.get(outcome))));
}

#[test]
fn a_finding_has_its_evidence_and_what_to_do_next() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let finding = browser.text("document.querySelector('.finding').textContent");
    for part in ["identity-refused", "aud shall be sts.us-west-2.amazonaws.com", "compare the role's trust policy with"]
    {
        assert!(finding.contains(part), "{part}: {finding}");
    }
    let links =
        browser.evaluate("[...document.querySelectorAll('.chains > li:first-child .word')].map((w) => w.textContent)");
    assert_eq!(links, json!(["Passed", "Passed", "Failed", "Not run", "Not run"]));
}

#[test]
fn texts_of_the_report_stay_texts_and_no_request_leaves() {
    let (_folder, file, mut browser) = shown(&sample::mixed());
    // Everything that can be shown is: every entry of a row, and the list of what is close together.
    tab_to(&mut browser, "#plot");
    for key in ["ArrowDown", "ArrowRight", "End", "+", "0"] {
        browser.press(key);
    }
    for text in sample::HOSTILE {
        assert!(browser.evaluate(&format!("document.body.innerText.includes({})", json!(text))) == true, "{text}");
    }
    assert_eq!(
        browser.evaluate("[typeof window.owned, document.querySelectorAll('img, iframe, [onload], [onerror]').length]"),
        json!(["undefined", 0])
    );
    let (asked, complaints) = browser.told();
    assert_eq!(asked, [json!(address(&file)).to_string()]);
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn the_page_may_not_ask_the_network_even_if_it_would() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let refused = browser.evaluate(
        "new Promise((done) => { const seen = []; \
         document.addEventListener('securitypolicyviolation', (event) => { seen.push(event.effectiveDirective); if (seen.length === 3) done(seen.sort()); }); \
         fetch('http://127.0.0.1:9/').catch(() => {}); \
         const add = (tag, values) => document.body.append(Object.assign(document.createElement(tag), values)); \
         add('img', {src: 'http://127.0.0.1:9/'}); add('script', {textContent: 'window.owned = 1'}); })",
    );
    assert_eq!(refused, json!(["connect-src", "img-src", "script-src-elem"]));
    assert_eq!(browser.text("typeof window.owned"), "undefined");
}

#[test]
fn every_tab_stop_shows_that_it_has_the_focus() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let mut stops = 0;
    loop {
        browser.press("Tab");
        let stop = browser.evaluate(
            "(() => { const it = document.activeElement; const style = getComputedStyle(it); return \
             it === document.body ? null : [it.outerHTML.slice(0, 80), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; })()",
        );
        if stop.is_null() {
            break;
        }
        assert!(stop[1] == true, "{}", stop[0]);
        stops += 1;
        assert!(stops < STOPS, "the tab stops do not end");
    }
    assert!(stops > 20, "only {stops} tab stops");
}

#[test]
fn the_timeline_is_filtered_by_object_with_the_keyboard() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let whole = browser.text(STATUS);
    tab_to(&mut browser, "#object");
    browser.enter("MANDELBROT-3-");
    let (filtered, rows) =
        (browser.text(STATUS), "[...document.querySelectorAll('.row.of-object .object')].map((o) => o.textContent)");
    assert!(filtered.contains(" 9 of ") && filtered.ends_with("of 3 objects"), "{whole} {filtered}");
    let rows = browser.evaluate(rows);
    let rows = rows.as_array().unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.as_str().unwrap().contains("mandelbrot-3-")), "{rows:?}");
    browser.enter(" which is nothing's name");
    assert!(browser.text("document.querySelector('#plot').textContent").contains("No object matches."));
}

#[test]
fn the_timeline_is_zoomed_and_walked_with_the_keyboard() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let seen = |browser: &mut Browser| browser.text(STATUS).split(" · ").next().unwrap().to_owned();
    let whole = seen(&mut browser);
    tab_to(&mut browser, "button[aria-label='Zoom in']");
    browser.press("Enter");
    let half = seen(&mut browser);
    assert_ne!(half, whole);
    tab_to(&mut browser, "#plot");
    browser.press("0");
    assert_eq!(seen(&mut browser), whole);
    browser.press("+");
    assert_ne!(seen(&mut browser), whole);
    browser.press("-");
    assert_eq!(seen(&mut browser), whole);
    let mut told = vec![browser.text(DETAILS)];
    for key in ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"] {
        browser.press(key);
        let details = browser.text(DETAILS);
        assert!(!told.contains(&details), "{key}: {details}");
        told.push(details);
        let chosen = "document.getElementById(document.querySelector('#plot').getAttribute('aria-activedescendant'))";
        assert_eq!(browser.text(&format!("{chosen}.getAttribute('aria-selected')")), "true");
    }
    // The wheel zooms about the place where the mouse is.
    let box_ = browser.evaluate("(() => { document.querySelector('#plot').scrollIntoView(); const box = document.querySelector('#plot').getBoundingClientRect(); return [box.left + box.width / 2, box.top + 150]; })()");
    browser.turn((box_[0].as_f64().unwrap(), box_[1].as_f64().unwrap()), -100.0);
    assert_ne!(seen(&mut browser), whole);
}

#[test]
fn verdicts_are_filtered_by_outcome_cloud_and_text() {
    let (_folder, _, mut browser) = shown(&sample::mixed());
    let rows = "[...document.querySelectorAll('#verdict-list .verdict')].map((row) => row.textContent)";
    let all = sample::mixed().verdicts.len();
    let status = "document.querySelector('#verdicts .status').textContent";
    assert_eq!(browser.text(status), format!("All {all} verdicts"));
    // What one subject has passed is one row.
    assert!(browser.evaluate(rows).as_array().unwrap().len() < all / 2);
    tab_to(&mut browser, "#outcomes input[value=passed]");
    browser.press(" ");
    let left = browser.evaluate(rows);
    assert!(left.as_array().unwrap().iter().all(|row| !row.as_str().unwrap().starts_with("Passed")), "{left}");
    tab_to(&mut browser, "#cloud");
    browser.press("ArrowDown");
    assert_eq!(browser.text("document.querySelector('#cloud').value"), "aws");
    assert_eq!(browser.evaluate(rows).as_array().unwrap().len(), 5);
    tab_to(&mut browser, "#claim");
    browser.enter("sync waves");
    assert_eq!(browser.evaluate(rows).as_array().unwrap().len(), 1);
    assert_eq!(browser.text(status), format!("1 of {all} verdicts"));
}

#[test]
fn ten_thousand_entries_open_fast_with_few_elements() {
    let (folder, file, mut browser) = shown(&sample::long(10_200, 900));
    let opened = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd");
    let elements = "document.querySelectorAll('*').length";
    let few = browser.evaluate(elements);
    let redrawn = browser.evaluate(
        "(() => { const begun = performance.now(); document.querySelector('[aria-label=\"Zoom in\"]').click(); \
         return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)))); })()",
    );
    browser.evaluate("document.querySelector('#plot').scrollTop = 1e9");
    browser.settled();
    let last = browser.text("[...document.querySelectorAll('.row.of-object .object')].at(-1).textContent");
    let after = browser.evaluate(elements);
    println!(
        "{} bytes: opened in {opened} ms, {few} elements, zoomed in {redrawn} ms",
        fs::metadata(&file).unwrap().len()
    );
    assert!(last.contains("scale/secret-"), "{last}");
    for number in [few, after] {
        assert!(number.as_u64().unwrap() < 4000, "{number} elements");
    }
    // Fast is half a second; a machine that is busy with worlds gets ten times as long.
    assert!(opened.as_f64().unwrap() < 5000.0 && redrawn.as_f64().unwrap() < 1000.0, "{opened} {redrawn}");
    drop(folder);
}
