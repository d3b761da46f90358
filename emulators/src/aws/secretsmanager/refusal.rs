//! The errors of Secrets Manager. Wordings are those that public bug reports and recorded answers quote, where there are
//! any; which are not is said beside them.

/// An AWS error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// AWS's code.
    pub code: &'static str,
    /// AWS's message.
    pub message: String,
    /// Whether the real service would have done it: the platform asks for something that is not played here.
    pub finding: bool,
}

impl Refusal {
    /// An error of the real service.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), finding: false }
    }

    /// The answer to what the real service does and this one does not.
    pub fn not_played(what: &str) -> Self {
        let message = format!("this Secrets Manager does not play {what}");
        Self { code: "UnknownOperationException", message, finding: true }
    }

    /// `InvalidParameterException`.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// `InvalidRequestException`.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    /// `ValidationException` in the words that all JSON services of AWS have.
    pub fn constraint(member: &str, constraint: &str) -> Self {
        let text =
            format!("1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}");
        Self::new("ValidationException", text)
    }

    /// There is no such secret.
    pub fn no_secret() -> Self {
        Self::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    }

    /// There is no such version; `by` is `VersionId: …` or `staging label: …`.
    pub fn no_version(by: &str) -> Self {
        let message = format!("Secrets Manager can't find the specified secret value for {by}");
        Self::new("ResourceNotFoundException", message)
    }

    /// The secret is scheduled for deletion.
    pub fn buried() -> Self {
        Self::request("You can't perform this operation on the secret because it was marked for deletion.")
    }
}
