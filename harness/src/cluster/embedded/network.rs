//! Addresses of a world. Every world owns one slot, and every slot its own three subnets.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Worlds that can exist side by side on one machine.
pub const SLOTS: u8 = 64;
/// Addresses for nodes on the cable of one world.
pub const PEERS: u8 = 8;

/// The addresses that belong to one slot: nodes in 10.200.slot.0/24, pods in 10.201.slot.0/24 and Services in
/// 10.202.slot.0/24.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Network {
    slot: u8,
}

impl Network {
    /// The addresses of `slot`, which is below [`SLOTS`].
    pub const fn new(slot: u8) -> Self {
        Self { slot }
    }

    /// Number of the slot.
    pub const fn slot(self) -> u8 {
        self.slot
    }

    /// Name of the machine's end of the cable (at most 15 bytes, an interface name).
    pub fn interface(self) -> String {
        format!("trinity{}", self.slot)
    }

    /// The machine's address on the cable.
    pub const fn machine(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, self.slot, 1)
    }

    /// The first node's address: API server and gateway listen on it, and its kubelet.
    pub const fn node(self) -> Ipv4Addr {
        self.peer(0)
    }

    /// Address of a node by its number, which is below [`PEERS`].
    pub const fn peer(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, self.slot, 2 + number)
    }

    /// The gateway's read-only registry, which every containerd asks before every other one.
    pub fn registry(self) -> SocketAddr {
        (self.node(), 5000).into()
    }

    /// Subnet of the Pods on a node, by its number, where `nodes` nodes (at most [`PEERS`]) have networks of their own.
    pub fn pods_of(self, number: u8, nodes: u8) -> String {
        let shares = nodes.next_power_of_two();
        let (first, bits) = (u16::from(number) * 256 / u16::from(shares), 24 + shares.ilog2());
        format!("10.201.{}.{first}/{bits}", self.slot)
    }

    /// Subnet of the Pods.
    pub fn pods(self) -> String {
        format!("10.201.{}.0/24", self.slot)
    }

    /// Subnet of the Services.
    pub fn services(self) -> String {
        format!("10.202.{}.0/24", self.slot)
    }

    /// The Service `kubernetes.default`.
    pub const fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 202, self.slot, 1)
    }

    /// The cluster's DNS server.
    pub const fn dns(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 202, self.slot, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_do_not_share_addresses() {
        let (a, b) = (Network::new(0), Network::new(1));
        assert_ne!(a.node(), b.node());
        assert_ne!(a.pods(), b.pods());
        assert_ne!(a.services(), b.services());
        assert!(Network::new(SLOTS - 1).interface().len() <= 15);
    }

    #[test]
    fn nodes_share_the_subnet_of_pods() {
        let network = Network::new(7);
        assert_eq!(network.pods_of(0, 1), network.pods());
        assert_eq!([0, 1].map(|number| network.pods_of(number, 2)), ["10.201.7.0/25", "10.201.7.128/25"]);
        assert_eq!(
            (network.pods_of(2, 3), network.pods_of(7, 8)),
            ("10.201.7.128/26".into(), "10.201.7.224/27".into())
        );
    }
}
