//! The switch as actors: `ovs-vswitchd`, and the switch of `troupe`.
//!
//! ```text
//! Switch ── hires ──> Port × interfaces          (this thread)
//!   │       ── hires ──> Bridge × bridges, Revalidator × datapaths     (the ofproto thread)
//!   │                       └── hires ──> FlowTable × tables, Listener, Session, Connector
//!   │       ── hires ──> Datapath × types         (a thread each)
//! Idl ── ConfigChanged ──> Switch ── StatusWrite ──> Idl
//! ```

use actix::prelude::*;
use std::path::PathBuf;
use sys::RingKind;

use crate::idl::{Idl, IdlSetup};
use crate::mailbox::Address;
use crate::port::device::Rings;
use crate::stream::{Method, OVSDB_PORT, Tls};
use crate::supervise::{Family, Role, Strategy};
use crate::switch::directory::Shared;
use crate::switch::plan::DummyMode;
use crate::switch::{IdlStarted, Own, Switch, SwitchSettings};
use crate::unixctl::Commands;

/// How a switch is to be.
#[derive(Debug, Clone)]
pub struct VswitchdConfig {
    /// The database server: `unix:FILE`, `tcp:HOST:PORT`, `ssl:HOST:PORT`.
    pub server: String,
    /// Where sockets lie.
    pub run_dir: PathBuf,
    /// For `ssl:` servers and controllers.
    pub tls: Tls,
    /// Dummies.
    pub dummy: DummyMode,
    /// `--disable-system`: there are no devices of the host's.
    pub disable_system: bool,
    /// 128 random bits.
    pub seed: u128,
    /// Ring layout asked for; `None` lets a test at start decide.
    pub ring: Option<RingKind>,
}

/// A running switch.
#[derive(Debug, Clone)]
pub struct VswitchdSystem {
    /// The switch's actor.
    pub switch: Address<Switch>,
    /// Who is where.
    pub directory: Shared,
}

/// Messages that fit the mailboxes of the two at the top.
const MAILBOX: usize = 1024;

/// Starts a switch and registers its control commands.
///
/// # Errors
/// The text to end the program with.
pub fn start(family: &Family, config: &VswitchdConfig, commands: &mut Commands) -> Result<VswitchdSystem, String> {
    let method =
        Method::parse(&config.server, OVSDB_PORT, &config.run_dir).map_err(|e| format!("{}: {e}", config.server))?;
    let kind = config.ring.unwrap_or_else(|| {
        // The test makes a pair of devices in a namespace of its own; where that is not allowed V2 is the safe choice.
        if config.dummy != DummyMode::Off || sys::early_reading_works().unwrap_or(false) {
            RingKind::V3
        } else {
            RingKind::V2
        }
    });
    let settings = SwitchSettings {
        run_dir: config.run_dir.clone(),
        dummy: config.dummy,
        rings: Rings { kind },
        seed: (config.seed >> 64) as u64 ^ config.seed as u64,
    };
    let directory = Switch::directory();
    let ofproto = Arbiter::new();
    let role = Role::new("switch", "switch", MAILBOX, Strategy::EndsProcess);
    let (shared, handle) = (directory.clone(), ofproto.handle());
    let switch = family.hire(role, move |desk, _| Switch::new(desk, settings.clone(), handle.clone(), shared.clone()));
    switch.offer(Own(switch.clone()));
    let setup = IdlSetup {
        method,
        name: config.server.clone(),
        tls: config.tls.clone(),
        switch: switch.clone(),
        seed: config.seed.rotate_left(17),
        iface_types: iface_types(config.dummy),
        datapath_types: datapath_types(config.dummy),
    };
    let role = Role::new("idl", "idl", MAILBOX, Strategy::OneForOne);
    let idl = family.hire(role, move |desk, ctx| Idl::new(desk, setup.clone(), ctx));
    switch.offer(IdlStarted(idl.outlet()));
    crate::switch::commands::add(commands, &directory);
    Ok(VswitchdSystem { switch, directory })
}

fn iface_types(dummy: DummyMode) -> Vec<&'static str> {
    let mut types = vec![
        "bareudp",
        "erspan",
        "geneve",
        "gre",
        "gtpu",
        "internal",
        "ip6erspan",
        "ip6gre",
        "lisp",
        "patch",
        "stt",
        "system",
        "tap",
        "vxlan",
    ];
    if dummy != DummyMode::Off {
        types.extend(["dummy", "dummy-internal", "dummy-pmd"]);
    }
    types
}

fn datapath_types(dummy: DummyMode) -> Vec<&'static str> {
    if dummy == DummyMode::Off { vec!["netdev", "system"] } else { vec!["dummy", "netdev", "system"] }
}
