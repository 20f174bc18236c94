//! Meter commands.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::meter::{METER_ALL, MeterCommand};
use openflow::parse::meter::parse_meter_mod;

use super::flows::open_for_flow_mod;
use crate::Done;
use crate::settings::Settings;

fn change(settings: &Settings, args: &[String], command: MeterCommand) -> Done {
    let meter_mod = match args.get(1) {
        Some(text) => parse_meter_mod(text, Some(command))?.0,
        None => {
            let mut all = parse_meter_mod("", None)?.0;
            all.meter.meter_id = METER_ALL;
            all
        }
    };
    let (session, _) = open_for_flow_mod(None, &args[0], Protocols::OF13_UP, settings)?;
    let request = session.encode(&Message::MeterMod(openflow::message::MeterMod { command, ..meter_mod }))?;
    session.change(&request, settings)
}

/// `add-meter SWITCH METER`.
pub(super) fn add(settings: &Settings, args: &[String]) -> Done {
    change(settings, args, MeterCommand::Add)
}

/// `mod-meter SWITCH METER`.
pub(super) fn modify(settings: &Settings, args: &[String]) -> Done {
    change(settings, args, MeterCommand::Modify)
}

/// `del-meters SWITCH [METER]`.
pub(super) fn delete(settings: &Settings, args: &[String]) -> Done {
    change(settings, args, MeterCommand::Delete)
}

fn ask(settings: &Settings, args: &[String], request: impl FnOnce(u32) -> Message) -> Done {
    let id = match args.get(1) {
        Some(text) => parse_meter_mod(text, None)?.0.meter.meter_id,
        None => METER_ALL,
    };
    let (session, _) = open_for_flow_mod(None, &args[0], Protocols::OF13_UP, settings)?;
    session.dump(&request(id), settings)
}

/// `dump-meters SWITCH [METER]`.
pub(super) fn dump(settings: &Settings, args: &[String]) -> Done {
    ask(settings, args, Message::MeterConfigRequest)
}

/// `meter-stats SWITCH [METER]`.
pub(super) fn stats(settings: &Settings, args: &[String]) -> Done {
    ask(settings, args, Message::MeterStatsRequest)
}

/// `meter-features SWITCH`.
pub(super) fn features(settings: &Settings, args: &[String]) -> Done {
    ask(settings, &args[..1], |_| Message::MeterFeaturesRequest)
}
