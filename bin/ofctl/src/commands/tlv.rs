//! Mappings of tunnel options.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::tlv_map::TlvCommand;
use openflow::parse::tlv::parse_tlv_table_mod;

use super::flows::open_for_flow_mod;
use crate::Done;
use crate::session::Session;
use crate::settings::Settings;

fn change(settings: &Settings, args: &[String], command: TlvCommand) -> Done {
    let table_mod = parse_tlv_table_mod(args.get(1).map(String::as_str), command)?;
    let (session, _) = open_for_flow_mod(None, &args[0], Protocols::NXM_OXM_ANY, settings)?;
    let request = session.encode(&Message::TlvTableMod(table_mod))?;
    session.change(&request, settings)
}

/// `add-tlv-map SWITCH MAP`.
pub(super) fn add(settings: &Settings, args: &[String]) -> Done {
    change(settings, args, TlvCommand::Add)
}

/// `del-tlv-map SWITCH [MAP]`.
pub(super) fn delete(settings: &Settings, args: &[String]) -> Done {
    change(settings, args, if args.len() > 1 { TlvCommand::Delete } else { TlvCommand::Clear })
}

/// `dump-tlv-map SWITCH`.
pub(super) fn dump(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::TlvTableRequest, settings)
}
