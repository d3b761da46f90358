//! The checks that stand between a caller and a value. Each can be taken out in unit tests, and only there: a denial
//! that still holds without its check was not refused by it.

/// What a cloud checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The token's signature fits the key that its issuer publishes.
    Signature,
    /// The token's issuer is the one whose keys verify it.
    Issuer,
    /// A token of an issuer that nobody registered is refused. (Without: taken at its word, as some emulators do.)
    World,
    /// The token was made for this cloud.
    Audience,
    /// The token's subject is in the namespace that the identity trusts.
    Namespace,
    /// The token's subject has the name that the identity trusts.
    Name,
    /// The token has not expired.
    Expiry,
    /// The token is valid already.
    NotBefore,
    /// The service account is bound to the identity that it asks for.
    Binding,
    /// The identity may read secrets at all.
    Permission,
    /// The identity may read this secret.
    Resource,
    /// The identity is not disabled.
    Disabled,
    /// What was granted and revoked since is gone, for callers who hold credentials already too.
    Revocation,
}

/// Whether a check is made: always, outside of mutation tests.
#[cfg(not(test))]
pub(crate) const fn made(_: Check) -> bool {
    true
}

#[cfg(test)]
pub(crate) use mutant::{ALL, made, without};

#[cfg(test)]
mod mutant {
    use std::cell::Cell;

    use super::Check;

    thread_local! {
        static LEFT_OUT: Cell<Option<Check>> = const { Cell::new(None) };
    }

    pub(crate) fn made(check: Check) -> bool {
        LEFT_OUT.get() != Some(check)
    }

    /// All of them: every denial matrix has a row for each.
    pub(crate) const ALL: [Check; 13] = [
        Check::Signature,
        Check::Issuer,
        Check::World,
        Check::Audience,
        Check::Namespace,
        Check::Name,
        Check::Expiry,
        Check::NotBefore,
        Check::Binding,
        Check::Permission,
        Check::Resource,
        Check::Disabled,
        Check::Revocation,
    ];

    #[test]
    fn all_are_all() {
        // A new check does not compile here until it is counted.
        let place = |check: Check| match check {
            Check::Signature => 0,
            Check::Issuer => 1,
            Check::World => 2,
            Check::Audience => 3,
            Check::Namespace => 4,
            Check::Name => 5,
            Check::Expiry => 6,
            Check::NotBefore => 7,
            Check::Binding => 8,
            Check::Permission => 9,
            Check::Resource => 10,
            Check::Disabled => 11,
            Check::Revocation => 12,
        };
        assert_eq!(ALL.map(place), std::array::from_fn(|i| i));
    }

    /// Does `work` on this thread in a cloud that does not make one check.
    pub(crate) fn without<T>(check: Check, work: impl FnOnce() -> T) -> T {
        LEFT_OUT.set(Some(check));
        let outcome = work();
        LEFT_OUT.set(None);
        outcome
    }
}
