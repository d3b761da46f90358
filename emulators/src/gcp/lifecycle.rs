//! What happens to secrets in their life, by Google's own client and by REST.
