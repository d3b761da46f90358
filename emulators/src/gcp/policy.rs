//! Allow policies as messages, and as bindings of one member each.

use bytes::Bytes;
use googleapis_tonic_google_iam_v1::google::{
    iam::v1::{self as pb, Policy},
    r#type::Expr,
};
use sha2::{Digest, Sha256};

use super::{
    iam::{Binding, Condition, Expression, Member, Role, Unread},
    refusal::Refusal,
};

/// Members of a policy.
const MEMBERS: usize = 1500;

/// A policy with these bindings. Conditions are always told, as to a caller who asks for version 3.
pub(crate) fn write<'a>(own: impl Iterator<Item = &'a Binding>) -> Policy {
    let mut bindings: Vec<pb::Binding> = Vec::new();
    for binding in own {
        let condition = binding.condition.as_ref().map(|c| Expr {
            title: c.expression.title.clone(),
            description: c.expression.description.clone(),
            expression: c.expression.expression.clone(),
            ..Expr::default()
        });
        let member = binding.member.text().to_owned();
        match bindings.iter_mut().find(|b| b.role == binding.role.name() && b.condition == condition) {
            Some(found) => found.members.push(member),
            None => bindings.push(pb::Binding { role: binding.role.name().into(), members: vec![member], condition }),
        }
    }
    let version = if bindings.iter().any(|b| b.condition.is_some()) { 3 } else { 1 };
    let told: Vec<_> = bindings.iter().map(|b| format!("{} {:?} {:?}", b.role, b.members, b.condition)).collect();
    let etag = Bytes::copy_from_slice(&Sha256::digest(told.join("\n"))[..8]);
    Policy { version, bindings, etag, ..Policy::default() }
}

/// The bindings of a policy, one for each member.
pub(crate) fn read(policy: Policy) -> Result<Vec<Binding>, Refusal> {
    let unread = |e: Unread| {
        let refusal = Refusal::field("policy.bindings", "The policy has a binding that is not supported.");
        Refusal { finding: true, ..refusal.because(e.to_string()) }
    };
    let mut read: Vec<Binding> = Vec::new();
    for binding in policy.bindings {
        if binding.condition.is_some() && policy.version != 3 {
            return Err(Refusal::field("policy.version", "A policy with conditions must have version 3."));
        }
        let condition = binding.condition.map(|c| {
            let (title, description, expression) = (c.title, c.description, c.expression);
            Condition::try_from(Expression { title, description, expression }).map_err(unread)
        });
        let (role, condition) = (Role::try_from(binding.role).map_err(unread)?, condition.transpose()?);
        for member in binding.members {
            let member = Member::try_from(member).map_err(unread)?;
            let binding = Binding { role, member, condition: condition.clone() };
            if !read.contains(&binding) {
                read.push(binding);
            }
            if read.len() > MEMBERS {
                return Err(Refusal::field("policy.bindings", "The policy has too many members."));
            }
        }
    }
    Ok(read)
}
