//! Calls that take something away, or bring it back: a routine run makes none. Deleting, recovering and disabling belong
//! to people and to the workflow of the secret backends, not to what reads secrets.

use trinity_emulators::journal::Line;

use super::verdict::{Outcome, Verdict};

/// Operations after which a secret, a version or a vault can be read no longer, or again, or will not be one day.
const DESTRUCTIVE: [&str; 18] = [
    "management:DeleteVault",
    "management:PurgeDeletedVault",
    // It changes who may do what in a vault.
    "management:UpdateVault",
    "secretmanager:DeleteSecret",
    "secretmanager:DestroySecretVersion",
    "secretmanager:DisableSecretVersion",
    "secretmanager:EnableSecretVersion",
    // It sets the time at which a secret expires.
    "secretmanager:UpdateSecret",
    "secretsmanager:CancelRotateSecret",
    "secretsmanager:DeleteResourcePolicy",
    "secretsmanager:DeleteSecret",
    "secretsmanager:RestoreSecret",
    // It takes the label of the current version away.
    "secretsmanager:UpdateSecretVersionStage",
    "vault:DeleteSecret",
    "vault:PurgeDeletedSecret",
    "vault:RecoverDeletedSecret",
    "vault:RestoreSecret",
    // It disables versions.
    "vault:UpdateSecret",
];

/// A verdict on all calls of a world.
pub fn verdict(lines: &[Line]) -> Verdict {
    let outcome = match findings(lines) {
        found if found.is_empty() => Outcome::Passed,
        found => Outcome::Failed(format!(
            "{}\n  next: find out what of the platform calls it, and take its permission away",
            found.join("\n")
        )),
    };
    Verdict::new("lifecycle", "the platform deletes, restores, purges and disables nothing in its backend", outcome)
}

/// The destructive calls of others than the administrator and canaries. One that was refused was tried all the same.
fn findings(lines: &[Line]) -> Vec<String> {
    let platforms = lines.iter().filter(|line| !line.note.administrator && !line.note.canary);
    platforms.filter_map(|line| Some((line, destructive(line)?))).map(|(line, action)| told(line, action)).collect()
}

fn destructive(line: &Line) -> Option<&str> {
    line.note.action.as_deref().filter(|action| DESTRUCTIVE.contains(action))
}

fn told(line: &Line, action: &str) -> String {
    let caller = line.note.caller.as_deref().unwrap_or("somebody unknown");
    let outcome = line.note.code.as_ref().map_or_else(|| "done".to_owned(), |code| format!("refused with {code}"));
    format!("{} {caller} called {action} ({} {}{}): {outcome}", line.time, line.method, line.host, line.path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(note: serde_json::Value) -> Line {
        let mut line = json!({
            "time": "2026-01-01T00:00:00Z", "host": "secretsmanager.us-east-1.amazonaws.com", "method": "POST",
            "path": "/", "status": 200, "milliseconds": 0,
        });
        line.as_object_mut().unwrap().extend(note.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn what_the_platform_deletes_is_found_with_its_caller_even_when_it_is_refused() {
        let role = "arn:aws:sts::1:assumed-role/trinity-external-secrets/eso";
        let lines = [
            line(json!({"action": "secretsmanager:DeleteSecret", "caller": role})),
            line(json!({"action": "vault:PurgeDeletedSecret", "code": "Forbidden"})),
        ];
        let found = findings(&lines);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains(role) && found[0].ends_with("(POST secretsmanager.us-east-1.amazonaws.com/): done"));
        assert!(found[1].contains("somebody unknown") && found[1].ends_with("refused with Forbidden"), "{}", found[1]);
    }

    #[test]
    fn reading_and_what_the_harness_does_is_no_finding() {
        let lines = [
            line(json!({"action": "secretsmanager:GetSecretValue", "caller": "platform"})),
            line(json!({"action": "secretsmanager:DeleteSecret", "caller": "us", "administrator": true})),
            line(json!({"action": "secretsmanager:DeleteSecret", "canary": true})),
            line(json!({})),
        ];
        assert!(findings(&lines).is_empty());
    }
}
