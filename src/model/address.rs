//! Addresses that only this machine reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the broker may listen at `address`: loopback, or one of the four that SDKs know by heart.
#[must_use]
pub fn is_local_address(address: IpAddr) -> bool {
    address.is_loopback() || WELL_KNOWN.contains(&address)
}

/// The addresses of IMDS (EC2 user guide, "Access instance metadata"), of the ECS agent (ECS developer guide,
/// "Task IAM role") and of the EKS Pod Identity agent (EKS user guide).
const WELL_KNOWN: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_the_well_known_are_local() {
        for (text, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("169.254.169.254", true),
            ("169.254.170.2", true),
            ("fd00:ec2::254", true),
            ("fd00:ec2::23", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("169.254.1.1", false),
            ("fd00:ec2::253", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(is_local_address(text.parse().unwrap()), local, "{text}");
        }
    }
}
