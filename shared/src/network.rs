//! The network that a caller is counted under: the address, IPv6 by /64.

use std::net::{IpAddr, Ipv6Addr};

/// The network of an address; an address that does not parse is a network of its own.
#[must_use]
pub fn of(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.to_string(),
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("{}/64", Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
        Err(_) => String::from("unknown"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_fold_into_networks() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("", "unknown"),
            ("x, y", "unknown"),
        ] {
            assert_eq!(super::of(address), network);
        }
    }
}
