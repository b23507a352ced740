//! Addresses that only this machine reaches, and such as only its neighbours do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether only this machine reaches `address`: loopback, or one of the four that SDKs know by heart.
#[must_use]
pub fn is_local_address(address: IpAddr) -> bool {
    address.is_loopback() || WELL_KNOWN.contains(&address)
}

/// Whether `address` is of a network of one's own, such as that of a bridge to containers: RFC 1918, unique local (RFC 4193)
/// and link-local ones (RFC 3927, RFC 4291); never a wildcard.
#[must_use]
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
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

    #[test]
    fn private_addresses_are_neither_public_nor_everybodys() {
        for text in [
            "10.88.0.1",
            "172.17.0.1",
            "172.31.255.1",
            "192.168.1.1",
            "169.254.1.1",
            "fd00:88::1",
            "fe80::1",
        ] {
            assert!(is_private_address(text.parse().unwrap()), "{text}");
        }
        for text in [
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "172.32.0.1",
            "192.0.2.1",
            "100.64.0.1",
            "224.0.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_private_address(text.parse().unwrap()), "{text}");
        }
    }
}
