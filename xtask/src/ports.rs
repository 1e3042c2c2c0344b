//! Which port is whose.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};

/// The default base port of `dev`.
pub const DEFAULT_BASE: u16 = 8780;

/// The ports of one running set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The Worker as a client meets it.
    pub edge: u16,
    /// Control's HTTP interface.
    pub control: u16,
    /// Control's metrics.
    pub metrics: u16,
    /// PostgreSQL.
    pub postgres: u16,
    /// The Worker without miniflare's entry in front: nothing between a load generator and the
    /// code.
    pub direct: u16,
    /// The mailbox's SMTP.
    pub smtp: u16,
    /// The mailbox's page.
    pub mail: u16,
}

impl Ports {
    /// The ports counted from `base`, which the command line keeps in range.
    pub fn from_base(base: u16) -> Self {
        Self {
            edge: base + 7,
            control: base + 8,
            metrics: base + 9,
            postgres: base + 10,
            direct: base + 11,
            smtp: base + 12,
            mail: base + 13,
        }
    }

    fn all(self) -> [(&'static str, u16); 7] {
        [
            ("the edge", self.edge),
            ("control", self.control),
            ("control's metrics", self.metrics),
            ("PostgreSQL", self.postgres),
            ("the edge's direct socket", self.direct),
            ("the mailbox's SMTP", self.smtp),
            ("the mailbox's page", self.mail),
        ]
    }

    /// Fails early and names the program of each taken port; otherwise each program would fail with an error of its
    /// own.
    pub fn ensure_free(self) -> Result<()> {
        let taken = |&(_, port): &(&str, u16)| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err();
        if let Some((whose, port)) = self.all().into_iter().find(taken) {
            bail!(
                "port {port}, which is for {whose}, is taken by another program: choose others with --port-base N"
            );
        }
        Ok(())
    }
}

/// A base from which all ports were free a moment ago.
pub fn free_base() -> Result<u16> {
    for _ in 0..50 {
        let base = free()?.saturating_sub(7);
        if (1017..=65_522).contains(&base) && Ports::from_base(base).ensure_free().is_ok() {
            return Ok(base);
        }
    }
    bail!("no row of free ports was found")
}

/// A port that was free a moment ago.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_counted_from_the_base() {
        let ports = Ports::from_base(DEFAULT_BASE);
        assert_eq!((ports.edge, ports.control, ports.metrics), (8787, 8788, 8789));
        assert_eq!((ports.postgres, ports.direct), (8790, 8791));
        assert_eq!((ports.smtp, ports.mail), (8792, 8793));
    }

    #[test]
    fn a_taken_port_is_refused_with_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let free = super::free().unwrap();
        let ports = Ports {
            edge: free,
            control: port,
            metrics: free,
            postgres: free,
            direct: free,
            smtp: free,
            mail: free,
        };
        let message = ports.ensure_free().unwrap_err().to_string();
        assert!(message.contains(&port.to_string()) && message.contains("control"), "{message}");
    }
}
