//! The nodes of a cluster: each has a kubelet and a containerd of its own, and all share the world's namespaces.

use std::net::Ipv4Addr;

use super::network::{Network, PEERS};

/// A node, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u8);

impl Node {
    /// The first node. Control plane, gateway, DNS and kube-proxy, which the whole world shares, run as if on it.
    pub const FIRST: Self = Self(0);
    /// Nodes that a cluster can have.
    pub const MOST: u8 = PEERS;

    /// The nodes of a cluster with so many, at most [`Self::MOST`].
    pub fn all(count: u8) -> impl Iterator<Item = Self> {
        (0..count.min(Self::MOST)).map(Self)
    }

    /// Name in the cluster: `node`, `node-2`, `node-3`.
    pub fn name(self) -> String {
        match self.0 {
            0 => "node".into(),
            further => format!("node-{}", further + 1),
        }
    }

    /// Its number: 0 is the first node's.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Name of one of its processes, for example `kubelet-2`.
    pub fn process(self, program: &str) -> String {
        self.name().replacen("node", program, 1)
    }

    /// Its address on the world's cable.
    pub const fn address(self, network: Network) -> Ipv4Addr {
        network.peer(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_names_and_addresses_of_their_own() {
        let network = Network::new(7);
        let nodes: Vec<Node> = Node::all(3).collect();
        assert_eq!(nodes[0], Node::FIRST);
        assert_eq!(nodes.iter().map(|n| n.name()).collect::<Vec<_>>(), ["node", "node-2", "node-3"]);
        assert_eq!(nodes[0].address(network), network.node());
        assert_eq!(nodes[2].address(network), Ipv4Addr::new(10, 200, 7, 4));
        assert_eq!((nodes[0].process("kubelet"), nodes[1].process("kubelet")), ("kubelet".into(), "kubelet-2".into()));
        assert_eq!(Node::all(u8::MAX).count(), usize::from(Node::MOST));
    }
}
