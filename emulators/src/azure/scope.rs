//! Resource ids of the resource manager, which are also the scopes of role assignments.

/// A subscription.
pub(super) fn subscription(subscription: &str) -> String {
    format!("/subscriptions/{subscription}")
}

/// A resource group.
pub(super) fn group(subscription: &str, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

/// A vault.
pub(super) fn vault(subscription: &str, name_of_group: &str, vault: &str) -> String {
    format!("{}/providers/Microsoft.KeyVault/vaults/{vault}", group(subscription, name_of_group))
}

/// Whether `outer` is `inner` or above it. Resource ids do not tell cases apart.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (outer.trim_end_matches('/').to_lowercase(), inner.to_lowercase());
    inner.strip_prefix(&outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_itself_and_what_is_below() {
        let vault = vault("s", "g", "v");
        assert!(covers("/", &vault));
        assert!(covers(&subscription("s"), &vault));
        assert!(covers("/SUBSCRIPTIONS/s/resourcegroups/G", &vault));
        assert!(covers(&vault, &vault));
        assert!(covers(&vault, &format!("{vault}/secrets/a")));
        assert!(!covers(&format!("{vault}/secrets/a"), &vault));
        assert!(!covers(&format!("{vault}/secrets/a"), &format!("{vault}/secrets/ab")));
        assert!(!covers(&super::vault("s", "g", "v2"), &vault));
    }
}
