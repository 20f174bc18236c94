//! `show`, `dump-desc`, `get-frags`, `set-frags`, `dump-ipfix-*`.

use cli::program;
use openflow::message::config::FragMode;
use openflow::message::{self, Message, SwitchConfig};
use openflow::{Msg, OfPort, Version};

use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// `show SWITCH`.
pub(super) fn show(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let request = session.encode(&Message::FeaturesRequest)?;
    let reply = session.transact(&request)?;
    // Ports that did not fit in, or that the version tells elsewhere, are asked for.
    let room = reply.len() + if session.version == Version::V10 { 48 } else { 64 };
    let elsewhere = session.version >= Version::V13 || room > usize::from(u16::MAX);
    program::print(&session.text(&reply, settings, 1));
    if elsewhere {
        session.dump(&Message::PortDescRequest(OfPort::ANY), settings)?;
    }
    // Numbered as if it were asked for on a connection of its own.
    let _hello = session.next_xid();
    session.dump(&Message::GetConfigRequest, settings)
}

/// `dump-desc SWITCH`.
pub(super) fn dump_desc(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::DescRequest, settings)
}

/// The switch's configuration.
pub(super) fn fetch_config(session: &Session) -> Result<SwitchConfig, Failure> {
    let request = session.encode(&Message::GetConfigRequest)?;
    let reply = session.transact(&request)?;
    match message::decode(&reply) {
        Ok(Msg { body: Message::GetConfigReply(config), .. }) => Ok(config),
        _ => Err(Failure::Text(format!("{}: bad reply to config request", session.name))),
    }
}

/// Configures the switch.
pub(super) fn set_config(session: &Session, config: &SwitchConfig, settings: &Settings) -> Done {
    let request = session.encode(&Message::SetConfig(*config))?;
    session.change(&request, settings)
}

/// `get-frags SWITCH`.
pub(super) fn get_frags(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let config = fetch_config(&session)?;
    program::print(&format!("{}\n", config.frags.name()));
    Ok(())
}

/// `set-frags SWITCH MODE`.
pub(super) fn set_frags(settings: &Settings, args: &[String]) -> Done {
    let mode = FragMode::parse(&args[1]).ok_or_else(|| format!("{}: unknown fragment handling mode", args[1]))?;
    let session = Session::open(&args[0], settings)?;
    let mut config = fetch_config(&session)?;
    if config.frags == mode {
        return Ok(());
    }
    config.frags = mode;
    set_config(&session, &config, settings)?;
    let now = fetch_config(&session)?;
    if now.frags != mode {
        return Err(Failure::Text(format!(
            "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{}\")",
            args[0],
            mode.name()
        )));
    }
    Ok(())
}

/// `dump-ipfix-bridge SWITCH`.
pub(super) fn dump_ipfix_bridge(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::IpfixBridgeRequest, settings)
}

/// `dump-ipfix-flow SWITCH`.
pub(super) fn dump_ipfix_flow(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::IpfixFlowRequest, settings)
}
