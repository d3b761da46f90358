//! `GetRandomPassword`.

use rsa::rand_core::{OsRng, RngCore};
use serde::Deserialize;

use super::refusal::Refusal;

const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What a password shall be made of.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetRandomPassword {
    password_length: Option<i64>,
    exclude_characters: Option<String>,
    exclude_numbers: Option<bool>,
    exclude_punctuation: Option<bool>,
    exclude_uppercase: Option<bool>,
    exclude_lowercase: Option<bool>,
    include_space: Option<bool>,
    require_each_included_type: Option<bool>,
}

impl GetRandomPassword {
    /// Makes one.
    ///
    /// # Errors
    /// When nothing can be like that.
    pub fn make(&self) -> Result<String, Refusal> {
        let length = match self.password_length.unwrap_or(32) {
            low if low < 1 => {
                return Err(Refusal::constraint("passwordLength", "Member must have value greater than or equal to 1"));
            }
            high if high > 4096 => {
                return Err(Refusal::constraint("passwordLength", "Member must have value less than or equal to 4096"));
            }
            length => usize::try_from(length).unwrap_or_default(),
        };
        let yes = |asked: Option<bool>| asked.unwrap_or_default();
        let excluded = self.exclude_characters.as_deref().unwrap_or_default();
        let types: Vec<Vec<char>> = [
            (!yes(self.exclude_lowercase), "abcdefghijklmnopqrstuvwxyz"),
            (!yes(self.exclude_uppercase), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            (!yes(self.exclude_numbers), "0123456789"),
            (!yes(self.exclude_punctuation), PUNCTUATION),
            (yes(self.include_space), " "),
        ]
        .into_iter()
        .filter(|(included, _)| *included)
        .map(|(_, letters)| letters.chars().filter(|c| !excluded.contains(*c)).collect())
        .filter(|letters: &Vec<char>| !letters.is_empty())
        .collect();
        let all: Vec<char> = types.iter().flatten().copied().collect();
        if all.is_empty() {
            // wording not verified
            return Err(Refusal::parameter("No characters are left to make a password of."));
        }
        let mut password: Vec<char> = Vec::new();
        if self.require_each_included_type.unwrap_or(true) {
            if length < types.len() {
                return Err(Refusal::parameter("Password length is too short based on the required types."));
            }
            password.extend(types.iter().map(|letters| letters[below(letters.len())]));
        }
        while password.len() < length {
            password.push(all[below(all.len())]);
        }
        // The required ones shall not stand at the beginning.
        for place in (1..password.len()).rev() {
            password.swap(place, below(place + 1));
        }
        Ok(password.into_iter().collect())
    }
}

/// A random number below `bound`, each as likely.
fn below(bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
    let fair = u64::MAX - u64::MAX % bound;
    loop {
        match OsRng.next_u64() {
            number if number < fair => return usize::try_from(number % bound).unwrap_or_default(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn make(request: Value) -> Result<String, &'static str> {
        serde_json::from_value::<GetRandomPassword>(request).unwrap().make().map_err(|r| r.code)
    }

    #[test]
    fn a_password_has_every_type_and_nothing_excluded() {
        for _ in 0..50 {
            let four = make(json!({"PasswordLength": 4})).unwrap();
            let has = |is: fn(&char) -> bool| four.chars().any(|c| is(&c));
            assert!(has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase), "{four}");
            assert!(has(char::is_ascii_digit) && has(char::is_ascii_punctuation), "{four}");
            let digits = make(json!({
                "ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludePunctuation": true, "ExcludeCharacters": "01234567",
            }));
            assert!(digits.unwrap().chars().all(|c| c == '8' || c == '9'));
        }
        assert_eq!(make(json!({})).unwrap().chars().count(), 32);
        assert_eq!(make(json!({"IncludeSpace": true, "PasswordLength": 5})).unwrap().matches(' ').count(), 1);
        assert_ne!(make(json!({})), make(json!({})));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(make(json!({"PasswordLength": 3})), Err("InvalidParameterException"));
        assert!(make(json!({"PasswordLength": 3, "RequireEachIncludedType": false})).is_ok());
        assert_eq!(make(json!({"PasswordLength": 0})), Err("ValidationException"));
        assert_eq!(make(json!({"PasswordLength": 4097})), Err("ValidationException"));
        let nothing = json!({
            "ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludePunctuation": true, "ExcludeNumbers": true,
        });
        assert_eq!(make(nothing), Err("InvalidParameterException"));
    }
}
