//! The run's report as one page for people: a file that shows what `report.json` says and asks no network.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::data::Report;
use crate::failure::{Attempt, Result};

/// Name of the file in a run's folder.
pub const FILE: &str = "report.html";

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(include_str!("page/timeline.js"), include_str!("page/page.js"));

/// The page of a report. Whatever texts that has, none of them becomes markup or a script: they are data of a script element
/// that nothing in them can end, and the browser runs no script but the page's own.
///
/// # Errors
/// When a number in it is none.
pub fn text(report: &Report) -> Result<String> {
    let json = serde_json::to_string(report).attempting(|| "write the report's page".into())?;
    Ok(filled(&json))
}

/// The template with this JSON.
fn filled(json: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        source(SCRIPT),
        source(STYLE)
    );
    // The report comes last: what stands in it is no place to fill.
    TEMPLATE.replacen("{policy}", &policy, 1).replacen("{style}", STYLE, 1).replacen("{script}", SCRIPT, 1).replacen(
        "{report}",
        &inert(json),
        1,
    )
}

/// JSON without any character that HTML gives a meaning. In JSON they stand in strings only, where they can be escaped.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What a Content-Security-Policy calls an element with exactly this text.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The report that is in a page.
    fn data(page: &str) -> &str {
        let (_, rest) = page.split_once("id=\"report\">").unwrap();
        rest.split_once("</script>").unwrap().0
    }

    #[test]
    fn no_text_of_the_report_ends_its_element_or_fills_a_place() {
        let report = json!({"headline": "</script><script>alert(1)</script><!-- & {script} {style} \u{2028}"});
        let page = filled(&report.to_string());
        assert!(!data(&page).contains(['<', '>', '&']), "{}", data(&page));
        assert_eq!(serde_json::from_str::<Value>(data(&page)).unwrap(), report);
        assert_eq!(page.matches("<script").count(), 2);
    }

    #[test]
    fn every_place_of_the_template_is_filled_with_its_own() {
        for place in ["{policy}", "{style}", "{script}", "{report}"] {
            assert_eq!(TEMPLATE.matches(place).count(), 1, "{place}");
            for part in [STYLE, SCRIPT] {
                assert!(!part.contains(place), "{place}");
            }
        }
        // Their texts would end the elements they stand in.
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        let page = filled("{}");
        assert!(page.contains(&source(SCRIPT)) && page.contains(&format!("<script type=\"module\">{SCRIPT}</script>")));
        assert!(page.contains(&source(STYLE)) && page.contains(&format!("<style>{STYLE}</style>")));
    }
}
